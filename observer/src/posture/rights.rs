//! The cluster's Roles and Bindings, as far as they concern ServiceAccounts.

use std::collections::HashMap;
use std::sync::Arc;

use super::names::Names;
use super::rules::Rule;
use crate::identity::{BindingObject, Metadata, Object, ObjectKind, RoleObject};

/// Roles and ClusterRoles. Clusters with many tenants have a handful a namespace.
pub const MAX_ROLES: usize = 20_000;
/// Rules of all roles together, about 150 bytes each.
pub const MAX_RULES: usize = 60_000;
pub const MAX_BINDINGS: usize = 40_000;
/// ServiceAccounts and their groups in all bindings together, about 40 bytes each.
pub const MAX_SUBJECTS: usize = 100_000;

/// One object too many: it is left out, and what is told of rights is not complete.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{object}: there are more than {bound} {what} already; what its holders may do is not told")]
pub struct Full {
    pub object: String,
    pub bound: usize,
    pub what: &'static str,
}

/// `(namespace, name)`; no namespace: of the whole cluster.
type Key = (Option<Arc<str>>, Arc<str>);

/// Who gets the rights of a binding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Account {
        namespace: Arc<str>,
        name: Arc<str>,
    },
    /// Every ServiceAccount of the namespace.
    Namespace(Arc<str>),
    /// Every ServiceAccount.
    All,
}

#[derive(Debug)]
struct Role {
    rules: Box<[Rule]>,
    listed: u32,
}

#[derive(Debug)]
pub(super) struct Binding {
    pub subjects: Box<[Subject]>,
    /// A binding of a namespace may give a ClusterRole's rights in that namespace.
    pub role: Key,
    listed: u32,
}

/// A role that somebody has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grant<'a> {
    /// Where it counts; `None`: everywhere.
    pub namespace: Option<&'a Arc<str>>,
    pub role: &'a Key,
    /// The binding's name.
    pub binding: &'a Arc<str>,
    /// `None`: the role is not known.
    rules: Option<&'a [Rule]>,
}

impl<'a> Grant<'a> {
    pub fn rules(&self) -> Option<&'a [Rule]> {
        self.rules
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Rights {
    names: Names,
    roles: HashMap<Key, Role>,
    bindings: HashMap<Key, Binding>,
    rules: usize,
    subjects: usize,
    /// The current list of each kind.
    lists: [u32; KINDS.len()],
    /// All of the kind that exist were heard of once.
    complete: [bool; KINDS.len()],
    refused: u64,
}

const KINDS: [ObjectKind; 4] =
    [ObjectKind::Role, ObjectKind::ClusterRole, ObjectKind::RoleBinding, ObjectKind::ClusterRoleBinding];

impl Rights {
    /// Takes in an object that is new or has changed; what is no Role or Binding is left aside.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn apply(&mut self, object: &Object) -> Result<(), Full> {
        let Some(key) = self.key(object.kind(), object.metadata()) else { return Ok(()) };
        self.remove(object.kind(), &key);
        let Some(listed) = self.list_of(object.kind()).map(|list| *list) else { return Ok(()) };
        match object {
            Object::Role(role) | Object::ClusterRole(role) => self.take_role(key, role, listed),
            Object::RoleBinding(binding) | Object::ClusterRoleBinding(binding) => {
                self.take_binding(key, binding, listed)
            }
            _ => Ok(()),
        }
        .inspect_err(|_| self.refused += 1)
    }

    pub fn delete(&mut self, kind: ObjectKind, metadata: &Metadata) {
        if let Some(key) = self.key(kind, metadata) {
            self.remove(kind, &key);
        }
    }

    /// A list of all objects of this kind begins.
    pub fn begin_list(&mut self, kind: ObjectKind) {
        if let Some(list) = self.list_of(kind) {
            *list = list.wrapping_add(1);
        }
    }

    /// The list is complete: what was not part of it is gone. Answers how many were.
    pub fn end_list(&mut self, kind: ObjectKind) -> usize {
        let Some(listed) = self.list_of(kind).map(|list| *list) else { return 0 };
        let cluster = matches!(kind, ObjectKind::ClusterRole | ObjectKind::ClusterRoleBinding);
        let gone: Vec<Key> = match kind {
            ObjectKind::Role | ObjectKind::ClusterRole => {
                let roles = self.roles.iter();
                let gone = roles.filter(|(key, role)| key.0.is_none() == cluster && role.listed != listed);
                gone.map(|(key, _)| key.clone()).collect()
            }
            _ => {
                let bindings = self.bindings.iter();
                let gone =
                    bindings.filter(|(key, binding)| key.0.is_none() == cluster && binding.listed != listed);
                gone.map(|(key, _)| key.clone()).collect()
            }
        };
        for key in &gone {
            self.remove(kind, key);
        }
        self.set_complete(kind);
        gone.len()
    }

    /// The object exists, but cannot be read: what was known of it stays.
    pub fn still_there(&mut self, kind: ObjectKind, metadata: &Metadata) {
        if !kind.is_rights() {
            return;
        }
        // What it allows now is not known.
        self.refused += 1;
        let Some(key) = self.key(kind, metadata) else { return };
        let Some(listed) = self.list_of(kind).map(|list| *list) else { return };
        match kind {
            ObjectKind::Role | ObjectKind::ClusterRole => {
                self.roles.get_mut(&key).into_iter().for_each(|role| role.listed = listed);
            }
            _ => self.bindings.get_mut(&key).into_iter().for_each(|binding| binding.listed = listed),
        }
    }

    /// All of this kind that there are were heard of.
    pub fn set_complete(&mut self, kind: ObjectKind) {
        if let Some(place) = KINDS.iter().position(|known| *known == kind) {
            self.complete[place] = true;
        }
    }

    /// The first kind of which not all was heard.
    #[must_use]
    pub fn lacks(&self) -> Option<ObjectKind> {
        KINDS.into_iter().zip(self.complete).find(|(_, complete)| !complete).map(|(kind, _)| kind)
    }

    /// Roles and Bindings that are left out, for want of room or because they cannot be read.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Every binding with its role.
    pub(super) fn grants(&self) -> impl Iterator<Item = (&Binding, Grant<'_>)> {
        self.bindings.iter().map(|(key, binding)| {
            let rules = self.roles.get(&binding.role).map(|role| &*role.rules);
            (binding, Grant { namespace: key.0.as_ref(), role: &binding.role, binding: &key.1, rules })
        })
    }

    fn take_role(&mut self, key: Key, role: &RoleObject, listed: u32) -> Result<(), Full> {
        let object = || called("Role", &key);
        if self.roles.len() >= MAX_ROLES {
            return Err(Full { object: object(), bound: MAX_ROLES, what: "Roles" });
        }
        if self.rules + role.rules.len() > MAX_RULES {
            return Err(Full { object: object(), bound: MAX_RULES, what: "rules of Roles" });
        }
        let rules: Box<[Rule]> = role.rules.iter().map(|rule| Rule::of(rule, &mut self.names)).collect();
        self.rules += rules.len();
        self.roles.insert(key, Role { rules, listed });
        Ok(())
    }

    fn take_binding(&mut self, key: Key, binding: &BindingObject, listed: u32) -> Result<(), Full> {
        let role = &binding.role_ref;
        let Some(name) = role.name.as_deref() else { return Ok(()) };
        let namespace = if role.kind.as_deref() == Some("Role") { key.0.clone() } else { None };
        let role = (namespace, self.names.of(name));
        let mut subjects: Vec<Subject> = Vec::new();
        for subject in &binding.subjects {
            let (Some(kind), Some(name)) = (subject.kind.as_deref(), subject.name.as_deref()) else {
                continue;
            };
            subjects.extend(match kind {
                "ServiceAccount" => {
                    let namespace = subject.namespace.as_deref().or(key.0.as_deref());
                    namespace.map(|namespace| self.account(namespace, name))
                }
                // The user name of a ServiceAccount is as good.
                "User" => name
                    .strip_prefix("system:serviceaccount:")
                    .and_then(|name| name.split_once(':'))
                    .map(|(namespace, name)| self.account(namespace, name)),
                "Group" => match name {
                    "system:serviceaccounts" | "system:authenticated" => Some(Subject::All),
                    _ => name
                        .strip_prefix("system:serviceaccounts:")
                        .map(|namespace| Subject::Namespace(self.names.of(namespace))),
                },
                _ => None,
            });
        }
        // It concerns people only.
        if subjects.is_empty() {
            return Ok(());
        }
        let object = || called("Binding", &key);
        if self.bindings.len() >= MAX_BINDINGS {
            return Err(Full { object: object(), bound: MAX_BINDINGS, what: "Bindings" });
        }
        if self.subjects + subjects.len() > MAX_SUBJECTS {
            return Err(Full { object: object(), bound: MAX_SUBJECTS, what: "subjects of Bindings" });
        }
        self.subjects += subjects.len();
        self.bindings.insert(key, Binding { subjects: subjects.into(), role, listed });
        Ok(())
    }

    fn account(&mut self, namespace: &str, name: &str) -> Subject {
        Subject::Account { namespace: self.names.of(namespace), name: self.names.of(name) }
    }

    fn remove(&mut self, kind: ObjectKind, key: &Key) {
        match kind {
            ObjectKind::Role | ObjectKind::ClusterRole => {
                self.rules -= self.roles.remove(key).map_or(0, |role| role.rules.len());
            }
            _ => self.subjects -= self.bindings.remove(key).map_or(0, |binding| binding.subjects.len()),
        }
    }

    fn key(&mut self, kind: ObjectKind, metadata: &Metadata) -> Option<Key> {
        let name = metadata.name.as_deref()?;
        let namespace = match kind {
            ObjectKind::Role | ObjectKind::RoleBinding => Some(self.names.of(metadata.namespace.as_deref()?)),
            ObjectKind::ClusterRole | ObjectKind::ClusterRoleBinding => None,
            _ => return None,
        };
        Some((namespace, self.names.of(name)))
    }

    fn list_of(&mut self, kind: ObjectKind) -> Option<&mut u32> {
        let place = KINDS.iter().position(|known| *known == kind)?;
        self.lists.get_mut(place)
    }
}

fn called(what: &str, key: &Key) -> String {
    match key {
        (Some(namespace), name) => format!("{what} {namespace}/{name}"),
        (None, name) => format!("Cluster{what} {name}"),
    }
}
