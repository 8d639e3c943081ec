//! What the cluster allows, for `observer doctor`: one line for each thing, with its cost and the way out.

use super::access::{Access, AccessError};
use super::issuers::KeySource;
use super::permissions::{self, Allowed, What};
use crate::graph::GraphKind;
use crate::identity::ObjectKind;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub name: &'static str,
    pub detail: String,
    pub lack: Option<Lack>,
}

/// What it costs that it is not as it should be, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    pub cost: &'static str,
    pub remedy: String,
}

const NOBODY: &str = "nobody has a name: every principal is unknown";

/// Asks the API server that the environment names; nothing if it names none.
pub async fn check() -> Vec<Finding> {
    if !Access::is_meant() {
        return Vec::new();
    }
    let access = match Access::find().await {
        Ok(access) => access,
        Err(error) => return vec![unreachable(&error)],
    };
    let mut findings = match permissions::examine(&access).await {
        Ok(answers) => of_answers(&access.url, &answers),
        Err(why) => {
            let remedy = "mend what it says: the address, the network, or the credentials (an expired token must be renewed)";
            vec![lacking("api-server", format!("{}: {why}", access.url), NOBODY, remedy.to_owned())]
        }
    };
    findings.push(match KeySource::ApiServer(access).load().await {
        Ok(loaded) => fine("token-keys", format!("issuer {}", loaded.keys.issuer)),
        Err(why) => lacking(
            "token-keys",
            why,
            "no ServiceAccount token can be verified",
            "bind the ClusterRole system:service-account-issuer-discovery to this ServiceAccount".to_owned(),
        ),
    });
    findings
}

fn unreachable(error: &AccessError) -> Finding {
    lacking("api-server", error.to_string(), NOBODY, "mend what it says".to_owned())
}

fn of_answers(url: &str, answers: &[Allowed]) -> Vec<Finding> {
    let mut findings = vec![fine("api-server", url.to_owned())];
    let refused = answers.iter().filter(|answer| !answer.missing.is_empty());
    findings.extend(refused.map(|Allowed { what, missing }| {
        let verbs = in_words(missing);
        let group = match what.group() {
            "" => String::new(),
            group => format!(" of {group}"),
        };
        let role = if *what == What::Lease { "Role, in its own namespace," } else { "ClusterRole" };
        let remedy = format!("give this ServiceAccount a {role} that may {verbs} {}{group}", what.name());
        lacking("cluster-role", format!("may not {verbs} {}", what.name()), cost(*what), remedy)
    }));
    if findings.len() == 1 {
        findings.push(fine(
            "cluster-role",
            format!("has the rights it needs on all {} resources", answers.len()),
        ));
    }
    findings
}

/// `get, create and update`.
fn in_words(verbs: &[&str]) -> String {
    match verbs {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

const fn cost(what: What) -> &'static str {
    let resource = match what {
        What::Watched(resource) => resource,
        What::Declaring(GraphKind::ServiceGraph) => return "ServiceGraphs of the cluster are not in force",
        What::Declaring(_) => return "what these objects allow is left out of the declared graph",
        What::Status | What::Lease => return "nobody writes what became of a ServiceGraph into its status",
    };
    match resource.0 {
        ObjectKind::Pod => NOBODY,
        ObjectKind::Service => "who dials a Service's address calls somebody unknown",
        ObjectKind::EndpointSlice => "a Service's backends are those that its selector means",
        ObjectKind::Node => "nodes look like hosts outside of the cluster, and so do unknown pods",
        ObjectKind::CiliumNode => "links that Cilium encrypts are taken for plain ones",
        ObjectKind::Namespace | ObjectKind::ServiceAccount => {
            "a graph that names a ServiceAccount which does not exist is not noticed"
        }
        ObjectKind::Role
        | ObjectKind::ClusterRole
        | ObjectKind::RoleBinding
        | ObjectKind::ClusterRoleBinding => "`observer posture` cannot tell what a token's holder may do",
    }
}

fn fine(name: &'static str, detail: String) -> Finding {
    Finding { name, detail, lack: None }
}

fn lacking(name: &'static str, detail: String, cost: &'static str, remedy: String) -> Finding {
    Finding { name, detail, lack: Some(Lack { cost, remedy }) }
}

#[cfg(test)]
mod tests {
    use super::super::Resource;
    use super::*;

    #[test]
    fn a_missing_verb_is_named_with_its_resource() {
        let watched = |kind| What::Watched(Resource(kind));
        let slices = Allowed { what: watched(ObjectKind::EndpointSlice), missing: vec!["watch"] };
        let pods = Allowed { what: watched(ObjectKind::Pod), missing: Vec::new() };
        let findings = of_answers("https://10.0.0.1", &[pods.clone(), slices]);
        assert_eq!(findings.len(), 2);
        assert_eq!(findings[1].detail, "may not watch endpointslices");
        let remedy = &findings[1].lack.as_ref().unwrap().remedy;
        assert!(remedy.ends_with("may watch endpointslices of discovery.k8s.io"), "{remedy}");
        let all_well = of_answers("https://10.0.0.1", &[pods]);
        assert!(all_well.iter().all(|finding| finding.lack.is_none()), "{all_well:?}");
    }
}
