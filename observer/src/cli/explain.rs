//! What a kind of finding means, in a sentence.

use crate::model::FindingKind;

/// One sentence for people.
#[must_use]
pub const fn explain(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::Unencrypted => {
            "Anyone on the way between the two pods can read and change this traffic."
        }
        FindingKind::Unauthenticated => {
            "The server cannot know who called: the request carried no credential."
        }
        FindingKind::Unexpected => "A graph governs this server and declares no such call.",
        FindingKind::CredentialInCleartext => {
            "A credential was sent in plaintext: whoever sees it can use it."
        }
        FindingKind::IdentityMismatch => {
            "The token belongs to another ServiceAccount or pod than the one that sent it."
        }
        FindingKind::InvalidToken => {
            "The token claims a known issuer, and is forged, expired or not yet valid."
        }
        FindingKind::WrongAudience => "The token is good, but was not issued for this server.",
        FindingKind::ApiAudienceToken => {
            "The receiver can use this token against the Kubernetes API as its owner."
        }
        FindingKind::LegacyToken => "The token comes from a Secret and never expires.",
        FindingKind::DefaultServiceAccount => {
            "A pod runs as `default`, an identity that it shares with others."
        }
    }
}
