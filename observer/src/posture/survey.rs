//! Facts in, rows out.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::powers::Powers;
use super::rights::{Grant, Rights, Subject};
use super::seen::Seen;
use crate::model::{Pod, PostureKind, PostureRow, PostureStatus, Timestamp, TokenMount};

/// Rows of one kind; what is beyond is told as a number.
pub const MAX_ROWS: usize = 500;
/// Workloads that a row names.
const MAX_WORKLOADS: usize = 20;

/// What a ServiceAccount's own object says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountFacts {
    pub automount: Option<bool>,
    /// Secrets that it lists.
    pub secrets: u16,
}

/// What cannot be told, and why: a word each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    pub pods: Option<&'static str>,
    pub accounts: Option<&'static str>,
    pub rights: Option<&'static str>,
    pub api_server: Option<&'static str>,
}

/// Everything that rows are made of.
pub struct Facts<'a> {
    /// Those that have not ended.
    pub pods: Vec<Arc<Pod>>,
    /// By namespace and name.
    pub accounts: BTreeMap<(Arc<str>, Arc<str>), AccountFacts>,
    pub node: Arc<str>,
    pub rights: &'a Rights,
    pub seen: &'a Seen,
    pub gaps: Gaps,
    /// A token not used for less than this is not called unused.
    pub unused_after: Duration,
    pub now: Timestamp,
}

type Account = (Arc<str>, Arc<str>);
/// Whether in a namespace only, who, where, by which role and which binding.
type Bound = (bool, Subject, Option<Arc<str>>, Arc<str>, Arc<str>);

/// The rows, the worst kinds first; in each kind what is found before what is unknown.
#[must_use]
pub fn survey(facts: &Facts<'_>) -> Vec<PostureRow> {
    let mut rows = Vec::new();
    for (kind, found) in [
        (PostureKind::CleartextToken, cleartext_tokens(facts)),
        (PostureKind::ClusterAdmin, cluster_admins(facts)),
        (PostureKind::LegacyToken, legacy_tokens(facts)),
        (PostureKind::LegacySecret, legacy_secrets(facts)),
        (PostureKind::SharedServiceAccount, shared_accounts(facts)),
        (PostureKind::DefaultServiceAccount, default_accounts(facts)),
        (PostureKind::UnusedToken, unused_tokens(facts)),
    ] {
        let more = found.len().saturating_sub(MAX_ROWS);
        rows.extend(found.into_iter().take(MAX_ROWS));
        if more > 0 {
            rows.push(unknown(
                kind,
                "too-many",
                &format!("{more} more are not shown"),
                "mend those shown first",
            ));
        }
    }
    rows
}

fn cleartext_tokens(facts: &Facts<'_>) -> Vec<PostureRow> {
    let mut sightings: BTreeMap<Account, _> = BTreeMap::new();
    for (account, tokens) in facts.seen.tokens() {
        if let (Some((namespace, name)), Some(cleartext)) = (account.split_once('/'), tokens.cleartext) {
            sightings.insert((namespace.into(), name.into()), (cleartext, *tokens));
        }
    }
    let powers = powers_of(facts.rights, sightings.keys());
    let mut rows: Vec<(usize, PostureRow)> = Vec::new();
    for ((account, (cleartext, tokens)), powers) in sightings.iter().zip(powers) {
        let mut row = row(PostureKind::CleartextToken, account);
        row.node = Some(facts.node.clone());
        row.since = Some(cleartext.first);
        row.seconds = Some(facts.now.since(cleartext.first).as_secs());
        row.flows = Some(cleartext.flows);
        "encrypt the connection or do not send the token; `automountServiceAccountToken: false` where it is not needed, \
         a Role that allows less, a token with the receiver's audience"
            .clone_into(&mut row.fix);
        let unverified = if tokens.verified { "" } else { " (signature not verified)" };
        let mut rank = powers.rank();
        if !tokens.for_api_server && tokens.verified {
            row.powers = vec!["nothing at the API server: the token is for somebody else".to_owned()];
            rank = usize::MAX;
        } else {
            row.powers = powers.told();
            let gap = facts.gaps.rights.or((facts.rights.refused() > 0).then_some("rights-incomplete"));
            match (gap, powers.is_nothing()) {
                (Some(why), true) => {
                    row.reason = Some(why.into());
                    row.powers.push("unknown: not all Roles and Bindings are known here".to_owned());
                }
                (Some(why), false) if !powers.is_anything() => {
                    row.reason = Some(why.into());
                    row.powers.push("perhaps more: not all Roles and Bindings are known here".to_owned());
                }
                (_, true) => row.powers.push("nothing beyond discovery".to_owned()),
                (_, false) => {}
            }
        }
        row.detail = format!(
            "a token of {}/{} went over plaintext{unverified}; its holder: {}",
            account.0,
            account.1,
            row.powers.join("; ")
        );
        rows.push((rank, row));
    }
    rows.sort_by_key(|(rank, _)| *rank);
    rows.into_iter().map(|(_, row)| row).collect()
}

/// What each of the ServiceAccounts may do.
fn powers_of<'a>(rights: &Rights, accounts: impl Iterator<Item = &'a Account>) -> Vec<Powers> {
    let places: BTreeMap<&Account, usize> =
        accounts.enumerate().map(|(place, account)| (account, place)).collect();
    let mut powers: Vec<Powers> = places.iter().map(|_| Powers::default()).collect();
    if powers.is_empty() {
        return powers;
    }
    for (binding, grant) in rights.grants() {
        let mut meant: BTreeSet<usize> = BTreeSet::new();
        for subject in &binding.subjects {
            match subject {
                Subject::Account { namespace, name } => {
                    meant.extend(places.get(&(namespace.clone(), name.clone())).copied());
                }
                Subject::Namespace(of) => {
                    meant.extend(
                        places.iter().filter(|((namespace, _), _)| namespace == of).map(|(_, place)| *place),
                    );
                }
                Subject::All => meant.extend(places.values().copied()),
            }
        }
        meant.into_iter().for_each(|place| powers[place].add(&grant));
    }
    powers
}

fn cluster_admins(facts: &Facts<'_>) -> Vec<PostureRow> {
    let kind = PostureKind::ClusterAdmin;
    let mut found: BTreeSet<Bound> = BTreeSet::new();
    for (binding, grant) in facts.rights.grants().filter(|(_, grant)| is_admin(grant)) {
        for subject in &binding.subjects {
            let scope = grant.namespace.cloned();
            found.insert((
                scope.is_some(),
                subject.clone(),
                scope,
                grant.role.1.clone(),
                grant.binding.clone(),
            ));
        }
    }
    let rows = found.into_iter().map(|(_, subject, scope, role, binding)| {
        let (namespace, name, who) = match subject {
            Subject::Account { namespace, name } => {
                let who = format!("{namespace}/{name}");
                (Some(namespace), Some(name), who)
            }
            Subject::Namespace(namespace) => {
                let who = format!("every ServiceAccount of {namespace}");
                (Some(namespace), None, who)
            }
            Subject::All => (None, None, "every ServiceAccount".to_owned()),
        };
        let (by, place) = match &scope {
            Some(scope) => ("RoleBinding", format!("in {scope}")),
            None => ("ClusterRoleBinding", "in the whole cluster".to_owned()),
        };
        PostureRow {
            namespace,
            service_account: name,
            powers: vec![format!("can do anything {place}")],
            detail: format!("{who} can do anything {place}: {role} by the {by} {binding}"),
            fix: format!("bind a Role with what it needs, and delete the {by} {binding}"),
            ..empty(kind)
        }
    });
    let mut rows: Vec<PostureRow> = rows.collect();
    if let Some(why) = facts.gaps.rights {
        rows.push(rights_unknown(kind, why));
    } else if facts.rights.refused() > 0 {
        rows.push(rights_unknown(kind, "rights-incomplete"));
    }
    rows
}

/// By its name, or because it is as good.
fn is_admin(grant: &Grant<'_>) -> bool {
    let named = grant.role.0.is_none() && &*grant.role.1 == "cluster-admin";
    named || grant.rules().is_some_and(|rules| rules.iter().any(super::rules::Rule::is_anything))
}

fn legacy_tokens(facts: &Facts<'_>) -> Vec<PostureRow> {
    let mut rows = Vec::new();
    for (account, tokens) in facts.seen.tokens() {
        let (Some((namespace, name)), Some(legacy)) = (account.split_once('/'), tokens.legacy) else {
            continue;
        };
        rows.push(PostureRow {
            node: Some(facts.node.clone()),
            since: Some(legacy.first),
            seconds: Some(facts.now.since(legacy.first).as_secs()),
            flows: Some(legacy.flows),
            detail: format!("flows carried a token of {account} from a Secret: it never expires"),
            fix: "use the token that the kubelet mounts, or `kubectl create token`; then delete the Secret"
                .to_owned(),
            ..row(PostureKind::LegacyToken, &(namespace.into(), name.into()))
        });
    }
    rows.sort_by(|one, other| by_account(one).cmp(&by_account(other)));
    rows
}

fn legacy_secrets(facts: &Facts<'_>) -> Vec<PostureRow> {
    let listed = facts.accounts.iter().filter(|(_, account)| account.secrets > 0);
    let mut rows: Vec<PostureRow> = listed
        .map(|(account, said)| PostureRow {
            detail: format!(
                "{}/{} lists {} Secrets, in which tokens without an end may lie",
                account.0, account.1, said.secrets
            ),
            fix: "delete the Secrets of type kubernetes.io/service-account-token that nobody uses, and their names in \
                  `secrets` of the ServiceAccount"
                .to_owned(),
            ..row(PostureKind::LegacySecret, account)
        })
        .collect();
    if let Some(why) = facts.gaps.accounts {
        rows.push(unknown(
            PostureKind::LegacySecret,
            why,
            "ServiceAccounts are not known here",
            "let the observer list and watch serviceaccounts",
        ));
    }
    rows
}

fn shared_accounts(facts: &Facts<'_>) -> Vec<PostureRow> {
    let mut users: BTreeMap<Account, BTreeSet<String>> = BTreeMap::new();
    // Pods of one workload and revision have one template: it is looked at once.
    let mut templates = HashSet::new();
    for pod in facts.pods.iter().filter(|pod| !pod.service_account.is_empty()) {
        if pod.workload.is_none() || templates.insert(Arc::as_ptr(&pod.template)) {
            let account = (pod.namespace.clone(), pod.service_account.clone());
            users.entry(account).or_default().insert(workload(pod));
        }
    }
    let mut rows: Vec<PostureRow> = users
        .into_iter()
        .filter(|(_, workloads)| workloads.len() > 1)
        .map(|(account, workloads)| PostureRow {
            detail: format!(
                "{}/{} is the ServiceAccount of {} workloads: nobody can tell one from another",
                account.0,
                account.1,
                workloads.len()
            ),
            fix: "give each workload a ServiceAccount of its own (`serviceAccountName`)".to_owned(),
            workloads: workloads.into_iter().take(MAX_WORKLOADS).collect(),
            ..row(PostureKind::SharedServiceAccount, &account)
        })
        .collect();
    rows.extend(pods_unknown(PostureKind::SharedServiceAccount, facts));
    rows
}

fn default_accounts(facts: &Facts<'_>) -> Vec<PostureRow> {
    let mut workloads = BTreeSet::new();
    let mut templates = HashSet::new();
    for pod in facts.pods.iter().filter(|pod| &*pod.service_account == "default") {
        if pod.workload.is_none() || templates.insert(Arc::as_ptr(&pod.template)) {
            workloads.insert((pod.namespace.clone(), workload(pod)));
        }
    }
    let mut rows: Vec<PostureRow> = workloads
        .into_iter()
        .map(|(namespace, workload)| PostureRow {
            detail: format!(
                "{workload} in {namespace} runs as `default`, as whatever else names no ServiceAccount"
            ),
            fix: "make a ServiceAccount for it and name it in `serviceAccountName`".to_owned(),
            workloads: vec![workload],
            ..row(PostureKind::DefaultServiceAccount, &(namespace, "default".into()))
        })
        .collect();
    rows.extend(pods_unknown(PostureKind::DefaultServiceAccount, facts));
    rows
}

/// The pods of one workload on this node, with a token mounted.
#[derive(Default)]
struct Mounts {
    used: bool,
    /// Nothing is known of the ServiceAccount that decides.
    undecided: bool,
    /// When the youngest of them was first watched.
    since: Timestamp,
}

fn unused_tokens(facts: &Facts<'_>) -> Vec<PostureRow> {
    let kind = PostureKind::UnusedToken;
    let mut mounts: BTreeMap<(Account, String), Mounts> = BTreeMap::new();
    let here = facts.pods.iter().filter(|pod| pod.node.as_ref() == Some(&facts.node));
    for pod in here.filter(|pod| !pod.service_account.is_empty()) {
        let account = (pod.namespace.clone(), pod.service_account.clone());
        let said = facts.accounts.get(&account);
        let mounted = match pod.token {
            TokenMount::Refused => Some(false),
            TokenMount::Wanted | TokenMount::Volume => Some(true),
            TokenMount::Unsaid => said.map(|account| account.automount.unwrap_or(true)),
        };
        if mounted == Some(false) {
            continue;
        }
        let mounts = mounts.entry((account, workload(pod))).or_default();
        mounts.undecided |= mounted.is_none();
        mounts.used |= facts.seen.has_called_api_server(&pod.uid);
        mounts.since = mounts.since.max(facts.seen.watched_since(&pod.uid, facts.now));
    }
    if let Some(why) = facts.gaps.pods.or(facts.gaps.api_server) {
        let detail = "whether tokens are used cannot be seen: pods, or the address of the API server, are not known here";
        return vec![unknown(
            kind,
            why,
            detail,
            "let the observer know pods and the Service default/kubernetes",
        )];
    }
    let mut rows: Vec<PostureRow> = Vec::new();
    for (((namespace, name), workload), mounts) in mounts.into_iter().filter(|(_, mounts)| !mounts.used) {
        let long = facts.now.since(mounts.since);
        let mut row = PostureRow {
            node: Some(facts.node.clone()),
            since: Some(mounts.since),
            seconds: Some(long.as_secs()),
            detail: format!(
                "{workload} in {namespace} has a token of {namespace}/{name} and did not call the API server for {}; \
                 only its pods on this node are judged",
                lasting(long)
            ),
            fix: "`automountServiceAccountToken: false` in its pod template, or on the ServiceAccount"
                .to_owned(),
            workloads: vec![workload],
            ..row(kind, &(namespace, name))
        };
        let why = match () {
            () if mounts.undecided => Some("service-account-not-known"),
            () if long < facts.unused_after => Some("observed-too-briefly"),
            () => None,
        };
        if let Some(why) = why {
            (row.status, row.reason) = (PostureStatus::Unknown, Some(why.into()));
        }
        rows.push(row);
    }
    rows.sort_by_key(|row| row.status == PostureStatus::Unknown);
    rows
}

fn lasting(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds @ 3_600..86_400 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// As people name it: `Deployment/orders`.
fn workload(pod: &Pod) -> String {
    match &pod.workload {
        Some(workload) => format!("{}/{}", workload.kind, workload.name),
        None => format!("Pod/{}", pod.name),
    }
}

fn by_account(row: &PostureRow) -> (Option<&Arc<str>>, Option<&Arc<str>>) {
    (row.namespace.as_ref(), row.service_account.as_ref())
}

fn pods_unknown(kind: PostureKind, facts: &Facts<'_>) -> Option<PostureRow> {
    let why = facts.gaps.pods?;
    Some(unknown(kind, why, "pods are not known here", "let the observer list and watch pods"))
}

fn rights_unknown(kind: PostureKind, why: &'static str) -> PostureRow {
    unknown(
        kind,
        why,
        "not all Roles and Bindings are known here",
        "let the observer list and watch roles, rolebindings, clusterroles and clusterrolebindings (the chart's \
         `rbac.posture`), or put them into --inventory",
    )
}

fn unknown(kind: PostureKind, why: &'static str, detail: &str, fix: &str) -> PostureRow {
    PostureRow {
        status: PostureStatus::Unknown,
        reason: Some(why.into()),
        detail: detail.to_owned(),
        fix: fix.to_owned(),
        ..empty(kind)
    }
}

fn row(kind: PostureKind, account: &Account) -> PostureRow {
    PostureRow { namespace: Some(account.0.clone()), service_account: Some(account.1.clone()), ..empty(kind) }
}

fn empty(kind: PostureKind) -> PostureRow {
    PostureRow {
        kind,
        status: PostureStatus::Found,
        reason: None,
        namespace: None,
        service_account: None,
        workloads: Vec::new(),
        powers: Vec::new(),
        node: None,
        since: None,
        seconds: None,
        flows: None,
        detail: String::new(),
        fix: String::new(),
    }
}
