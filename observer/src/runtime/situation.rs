//! What verdicts are made from: a flow's ends, what it showed, and what its graph asks of it.

use super::ends::Ends;
use crate::graph::{AuthenticationRequirement, EncryptionRequirement, Evaluation};
use crate::model::{Declaration, DeclarationStatus, Encryption, Protocol, Timestamp};
use crate::verdict::{Demand, Demands, Situation};

pub fn situation<'a>(
    ends: &'a Ends,
    protocol: Protocol,
    encryption: &'a Encryption,
    declaration: DeclarationStatus,
    evaluation: &'a Evaluation,
    now: Timestamp,
) -> Situation<'a> {
    Situation {
        client: &ends.client,
        server: &ends.server,
        edge: &ends.edge,
        hop: ends.hop,
        protocol,
        encryption,
        declaration,
        demands: Demands {
            declared: evaluation.by_edge,
            encryption: match evaluation.encryption {
                EncryptionRequirement::Optional => Demand::Optional,
                EncryptionRequirement::Required => Demand::Required,
                EncryptionRequirement::Mtls => Demand::Strict,
            },
            authentication: match evaluation.authentication {
                AuthenticationRequirement::Optional => Demand::Optional,
                AuthenticationRequirement::Required => Demand::Required,
                AuthenticationRequirement::Verified => Demand::Strict,
            },
            audiences: &evaluation.audiences,
            exceptions: &evaluation.exceptions,
        },
        to_api_server: ends.to_api_server,
        now,
    }
}

/// A flow's declaration is that of its worst request.
pub fn worsen(declaration: &mut Declaration, request: &Declaration) {
    let rank = |status: DeclarationStatus| match status {
        DeclarationStatus::Ungoverned => 0,
        DeclarationStatus::Allowed => 1,
        DeclarationStatus::Unevaluable => 2,
        DeclarationStatus::Unexpected => 3,
    };
    let replaces_unseen = declaration.reason.as_deref() == Some("http-unseen");
    if rank(request.status) > rank(declaration.status) || replaces_unseen {
        *declaration = request.clone();
    }
}
