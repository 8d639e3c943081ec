//! A rule of a Role, made small.

use std::sync::Arc;

use super::names::Names;
use crate::identity::RuleObject;

/// A set of verbs: one bit each. What is none of these (`use` of a PodSecurityPolicy, made-up ones) gives nothing that is
/// told here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Verbs(u16);

impl Verbs {
    pub const GET: Self = Self(1);
    pub const LIST: Self = Self(1 << 1);
    pub const WATCH: Self = Self(1 << 2);
    pub const CREATE: Self = Self(1 << 3);
    pub const UPDATE: Self = Self(1 << 4);
    pub const PATCH: Self = Self(1 << 5);
    pub const DELETE: Self = Self(1 << 6);
    pub const DELETE_ALL: Self = Self(1 << 7);
    pub const IMPERSONATE: Self = Self(1 << 8);
    pub const BIND: Self = Self(1 << 9);
    pub const ESCALATE: Self = Self(1 << 10);
    pub const APPROVE: Self = Self(1 << 11);
    pub const SIGN: Self = Self(1 << 12);
    pub const ANY: Self = Self(u16::MAX);
    pub const READ: Self = Self::GET.or(Self::LIST).or(Self::WATCH);
    pub const CHANGE: Self = Self::CREATE.or(Self::UPDATE).or(Self::PATCH);
    pub const WRITE: Self = Self::CHANGE.or(Self::DELETE).or(Self::DELETE_ALL);
    /// Whose request names no object, so that a rule that names objects does not allow it
    /// (<https://kubernetes.io/docs/reference/access-authn-authz/rbac/#referring-to-resources>).
    const NAMELESS: Self = Self::CREATE.or(Self::DELETE_ALL);

    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    fn of(verb: &str) -> Self {
        match verb {
            "*" => Self::ANY,
            "get" => Self::GET,
            "list" => Self::LIST,
            "watch" => Self::WATCH,
            "create" => Self::CREATE,
            "update" => Self::UPDATE,
            "patch" => Self::PATCH,
            "delete" => Self::DELETE,
            "deletecollection" => Self::DELETE_ALL,
            "impersonate" => Self::IMPERSONATE,
            "bind" => Self::BIND,
            "escalate" => Self::ESCALATE,
            "approve" => Self::APPROVE,
            "sign" => Self::SIGN,
            _ => Self::default(),
        }
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub verbs: Verbs,
    pub groups: Box<[Arc<str>]>,
    pub resources: Box<[Arc<str>]>,
    /// Empty: all objects.
    pub names: Box<[Arc<str>]>,
    pub urls: Box<[Arc<str>]>,
}

impl Rule {
    pub fn of(object: &RuleObject, names: &mut Names) -> Self {
        Self {
            verbs: object.verbs.iter().fold(Verbs::default(), |sum, verb| sum.or(Verbs::of(verb))),
            groups: names.all(&object.api_groups),
            resources: names.all(&object.resources),
            names: names.all(&object.resource_names),
            urls: names.all(&object.non_resource_urls),
        }
    }

    /// Everything, on everything.
    pub fn is_anything(&self) -> bool {
        self.verbs == Verbs::ANY
            && has(&self.groups, "*")
            && has(&self.resources, "*")
            && self.names.is_empty()
    }

    pub fn is_of_group(&self, group: &str) -> bool {
        self.groups.iter().any(|known| **known == *group || **known == *"*")
    }

    /// Whether it is about `resource`, which may be `pods/exec`: then `*` and `*/exec` mean it too.
    pub fn is_about(&self, resource: &str) -> bool {
        let all_with_part = resource.split_once('/').map(|(_, part)| part);
        self.resources.iter().any(|known| {
            **known == *resource
                || **known == *"*"
                || all_with_part.is_some_and(|part| known.strip_prefix("*/") == Some(part))
        })
    }

    /// What it allows to do with `resource`.
    pub fn verbs_on(&self, resource: &str) -> Verbs {
        let nameless = !self.names.is_empty() && !resource.contains('/');
        if nameless { self.verbs.without(Verbs::NAMELESS) } else { self.verbs }
    }
}

pub(super) fn has(list: &[Arc<str>], name: &str) -> bool {
    list.iter().any(|known| **known == *name)
}
