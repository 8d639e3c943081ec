use super::super::{Provenance, RequestFacts, is_somebody_elses};
use super::{
    Authentication, Demand, Demands, Scene, UNKNOWN, authentication, facts, node, orders, payments,
    service_account, token,
};
use crate::model::AuthenticationStatus::{self, Invalid, None, Present, Unknown, Verified};
use crate::model::{EncryptionStatus, FindingKind, Identity};

const STATUSES: [AuthenticationStatus; 5] = [None, Present, Verified, Invalid, Unknown];
const ENCRYPTIONS: [EncryptionStatus; 4] =
    [EncryptionStatus::Plaintext, EncryptionStatus::Tls, EncryptionStatus::Mtls, EncryptionStatus::Unknown];

/// Status by status and encryption by encryption: what is found, and that nothing else is.
#[test]
fn credentials_and_encryption_decide_together() {
    for status in STATUSES {
        for encryption in ENCRYPTIONS {
            let mut expected = Vec::new();
            if status == None && encryption != EncryptionStatus::Mtls {
                expected.push(FindingKind::Unauthenticated);
            }
            if matches!(status, Present | Verified | Invalid) && encryption == EncryptionStatus::Plaintext {
                expected.push(FindingKind::CredentialInCleartext);
            }
            if status == Invalid {
                expected.push(FindingKind::InvalidToken);
            }
            let scene = Scene { encryption, ..Scene::default() };
            let found = scene.of_request(&facts(&authentication(status)));
            assert_eq!(found, expected, "{status:?} {encryption:?}");
        }
    }
}

#[test]
fn what_was_not_seen_is_never_accused() {
    let unknown = authentication(Unknown);
    for encryption in ENCRYPTIONS {
        let scene = Scene { encryption, ..Scene::default() };
        assert!(scene.of_request(&facts(&unknown)).is_empty(), "{encryption:?}");
    }
}

#[test]
fn a_request_without_credentials_is_a_finding_towards_pods_and_nodes_alone() {
    let none = authentication(None);
    let servers = [
        (payments(), true),
        (service_account(), true),
        (node(), true),
        (Identity::External, false),
        (UNKNOWN, false),
    ];
    for (server, found) in servers {
        let name = format!("{server:?}");
        let scene = Scene { server, ..Scene::default() };
        assert_eq!(scene.of_request(&facts(&none)) == [FindingKind::Unauthenticated], found, "{name}");
    }
    for client in [Identity::External, node(), UNKNOWN] {
        let scene = Scene { client, ..Scene::default() };
        assert_eq!(scene.of_request(&facts(&none)), [FindingKind::Unauthenticated]);
    }
}

#[test]
fn an_edge_declared_without_credentials_needs_none() {
    let demands = Demands { declared: true, authentication: Demand::Optional, ..Demands::default() };
    let scene = Scene { demands, ..Scene::default() };
    assert!(scene.of_request(&facts(&authentication(None))).is_empty());
    assert_eq!(scene.of_request(&facts(&authentication(Invalid))), [FindingKind::InvalidToken]);
}

#[test]
fn a_credential_in_cleartext_is_one_wherever_it_goes() {
    let present = authentication(Present);
    for server in [payments(), node(), Identity::External, UNKNOWN] {
        let scene = Scene { server, encryption: EncryptionStatus::Plaintext, ..Scene::default() };
        assert_eq!(scene.of_request(&facts(&present)), [FindingKind::CredentialInCleartext]);
    }
}

#[test]
fn a_token_for_the_api_server_is_a_finding_unless_it_goes_there() {
    let verified = authentication(Verified);
    for (to_api_server, expected) in [(false, vec![FindingKind::ApiAudienceToken]), (true, Vec::new())] {
        let scene = Scene { to_api_server, ..Scene::default() };
        let request = RequestFacts { api_audience: true, ..facts(&verified) };
        assert_eq!(scene.of_request(&request), expected);
        assert!(scene.of_request(&facts(&verified)).is_empty());
    }
}

#[test]
fn a_legacy_token_is_a_finding_whatever_its_signature_says() {
    for status in [Present, Verified, Invalid] {
        let shown = authentication(status);
        let found = Scene::default().of_request(&RequestFacts { legacy: true, ..facts(&shown) });
        assert!(found.contains(&FindingKind::LegacyToken), "{status:?}");
    }
}

#[test]
fn a_verified_token_of_somebody_else_is_a_mismatch() {
    let table = [
        (orders(), Some("shop/orders"), Some("uid-orders"), false),
        (orders(), Some("shop/orders"), Option::None, false),
        (orders(), Some("shop/payments"), Option::None, true),
        (orders(), Some("other/orders"), Some("uid-orders"), true),
        (orders(), Some("shop/orders"), Some("uid-of-a-sibling"), true),
        (orders(), Some("shop"), Option::None, true),
        (orders(), Option::None, Option::None, false),
        (orders(), Option::None, Some("uid-of-a-sibling"), false),
        // Only a pod can be told from a token's owner.
        (node(), Some("shop/payments"), Some("uid-payments"), false),
        (service_account(), Some("shop/payments"), Option::None, false),
        (Identity::External, Some("shop/payments"), Option::None, false),
        (UNKNOWN, Some("shop/payments"), Option::None, false),
    ];
    for (client, owner, uid, mismatch) in table {
        let shown = token(owner, uid);
        let name = format!("{client:?} {owner:?} {uid:?}");
        assert_eq!(is_somebody_elses(&client, &shown), mismatch, "{name}");
        let scene = Scene { client, ..Scene::default() };
        assert_eq!(scene.of_request(&facts(&shown)) == [FindingKind::IdentityMismatch], mismatch, "{name}");
    }
}

#[test]
fn a_token_that_is_not_verified_proves_no_mismatch() {
    for status in [None, Present, Invalid, Unknown] {
        let mut shown = token(Some("shop/payments"), Some("uid-payments"));
        shown.status = status;
        assert!(!is_somebody_elses(&orders(), &shown), "{status:?}");
    }
    assert!(!is_somebody_elses(&orders(), &authentication(Verified)));
}

#[test]
fn a_wrong_audience_is_not_judged_yet() {
    for status in STATUSES {
        let found = Scene::default().of_request(&facts(&authentication(status)));
        assert!(!found.contains(&FindingKind::WrongAudience));
    }
}

#[test]
fn provenance_is_said_in_the_words_of_the_contract() {
    assert_eq!(Provenance::Forwarded.as_str(), "forwarded");
    assert_eq!(Provenance::Replayed.as_str(), "replayed");
    assert_eq!(Provenance::Unknown.as_str(), "origin-unknown");
}

#[test]
fn an_edge_that_asks_for_a_verified_token_is_not_content_with_mtls() {
    let of = |authentication, status| {
        let demands = Demands { declared: true, authentication, ..Demands::default() };
        let scene = Scene { encryption: EncryptionStatus::Mtls, demands, ..Scene::default() };
        scene.of_request(&facts(&self::authentication(status)))
    };
    assert_eq!(of(Demand::Strict, None), [FindingKind::Unauthenticated]);
    assert!(of(Demand::Required, None).is_empty());
    // One that cannot be verified here is not proven to be bad.
    assert!(of(Demand::Strict, Present).is_empty());
    assert!(of(Demand::Strict, Unknown).is_empty());
}

#[test]
fn only_a_verified_token_without_any_of_the_audiences_asked_for_has_the_wrong_one() {
    let with = |audiences: &[&str], status| {
        let mut judged = token(Option::None, Option::None);
        judged.status = status;
        let mut claims = (**judged.token.as_ref().unwrap()).clone();
        claims.audiences = audiences.iter().map(|audience| (*audience).into()).collect();
        judged.token = Some(std::sync::Arc::new(claims));
        judged
    };
    let of = |wanted: &[&str], judged: &Authentication| {
        let wanted: Vec<std::sync::Arc<str>> = wanted.iter().map(|audience| (*audience).into()).collect();
        // The scene's parts live as long as the program: a test can afford it.
        let demands = Demands { audiences: Vec::leak(wanted), ..Demands::default() };
        let scene = Scene { demands, ..Scene::default() };
        scene.of_request(&facts(judged)).contains(&FindingKind::WrongAudience)
    };
    assert!(of(&["payments"], &with(&["orders"], Verified)));
    assert!(of(&["payments"], &with(&[], Verified)));
    assert!(!of(&["payments"], &with(&["orders", "payments"], Verified)));
    assert!(!of(&[], &with(&["orders"], Verified)));
    for status in [Present, Invalid, Unknown] {
        assert!(!of(&["payments"], &with(&["orders"], status)), "{status:?}");
    }
}
