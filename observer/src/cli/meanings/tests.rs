use super::*;
use crate::cli::{Cli, ConfigFile};
use crate::model::{AuthenticationStatus, DeclarationStatus, EncryptionStatus, PostureKind};
use clap::Parser;

#[test]
fn every_kind_of_finding_has_every_part() {
    assert_eq!(FINDINGS.iter().map(|meaning| meaning.kind).collect::<Vec<_>>(), FindingKind::ALL);
    for meaning in FINDINGS {
        let parts = [meaning.sentence, meaning.why, meaning.proof, meaning.fix, meaning.exempt];
        for part in parts {
            assert!(part.ends_with('.') && part.len() > 20, "{}: {part:?}", meaning.kind);
            assert!(!part.contains("  ") && !part.contains('\n'), "{}: {part:?}", meaning.kind);
        }
        assert!(!meaning.confirm.is_empty(), "{}", meaning.kind);
    }
}

#[test]
fn every_command_that_confirms_a_finding_asks_for_it() {
    for meaning in FINDINGS {
        for (command, what) in meaning.confirm {
            Cli::try_parse_from(command.split(' ')).unwrap_or_else(|error| panic!("{command}: {error}"));
            assert!(!what.is_empty());
        }
        let (first, _) = meaning.confirm[0];
        assert!(first.contains(&format!("--finding {} ", meaning.kind)), "{first}");
    }
}

#[test]
fn every_exemption_that_is_shown_is_taken_by_the_config_file() {
    for meaning in FINDINGS {
        let file = ConfigFile::parse(&meaning.exemption()).unwrap();
        assert_eq!(file.exemptions[0].kind, Some(meaning.kind));
    }
}

#[test]
fn every_reason_of_a_finding_has_a_meaning() {
    for reason in FINDINGS.iter().flat_map(|meaning| meaning.reasons) {
        assert!(REASONS.iter().any(|meaning| meaning.word == *reason), "{reason}");
    }
}

#[test]
fn every_status_and_every_kind_of_posture_has_a_meaning() {
    let words = |place: &str| -> Vec<&str> {
        WORDS.iter().filter(|meaning| meaning.place == place).map(|meaning| meaning.word).collect()
    };
    assert_eq!(words("encryption.status"), EncryptionStatus::ALL.map(EncryptionStatus::as_str));
    assert_eq!(words("authentication.status"), AuthenticationStatus::ALL.map(AuthenticationStatus::as_str));
    assert_eq!(words("declaration.status"), DeclarationStatus::ALL.map(DeclarationStatus::as_str));
    let postures: Vec<&str> = POSTURES.iter().map(|meaning| meaning.word).collect();
    assert_eq!(postures, PostureKind::ALL.map(PostureKind::as_str));
}

#[test]
fn a_meaning_is_a_sentence_and_stands_once_for_a_place() {
    let mut seen = std::collections::BTreeSet::new();
    for meaning in ALL.into_iter().flatten() {
        assert!(meaning.sentence.ends_with('.') && !meaning.sentence.contains("  "), "{meaning:?}");
        assert!(seen.insert((meaning.place, meaning.word)), "{meaning:?}");
    }
}

/// Words with hyphens that stand alone in the code of a text: in a page between backticks, in Rust as a literal.
fn hyphenated(text: &str, quote: char) -> Vec<&str> {
    let is_word = |word: &&str| {
        word.contains('-')
            && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
            && !word.starts_with('-')
    };
    text.split(quote).skip(1).step_by(2).filter(is_word).collect()
}

#[test]
fn every_reason_that_a_page_names_can_be_explained() {
    let read =
        |page: &str| std::fs::read_to_string(format!("{}/../{page}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let pages = ["README.md", "docs/flow-record.md", "docs/graphs.md", "docs/posture.md"].map(read).concat();
    let known = all_words();
    let hops = ["pod-to-pod", "intra-pod", "node-local", "kubelet-probe"];
    let foreign = ["istio-system", "pod-template-hash", "controller-revision-hash"];
    let mut checked = 0;
    for line in pages.lines() {
        for word in
            hyphenated(line, '`').into_iter().filter(|word| !hops.contains(word) && !foreign.contains(word))
        {
            assert!(known.contains(&word), "{word} in {line}");
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked}");
}

/// Words that a constructor of something unknown is given: `unknown("encrypted")`.
fn given(line: &str) -> impl Iterator<Item = &str> {
    ["unknown(\"", "Unknown(\"", "present(\"", "invalid(\"", "Unseen(\""].into_iter().filter_map(
        move |call| {
            let (_, rest) = line.split_once(call)?;
            rest.split_once('"').map(|(word, _)| word)
        },
    )
}

/// Where reasons are born.
const SOURCES: [&str; 22] = [
    "graph/condition.rs",
    "graph/evaluate.rs",
    "graph/import/cilium/peers.rs",
    "graph/import/cilium/ports.rs",
    "graph/import/istio/authorization.rs",
    "graph/import/istio/peer.rs",
    "graph/import/linkerd/mod.rs",
    "graph/policies.rs",
    "identity/index.rs",
    "identity/nodes.rs",
    "identity/services.rs",
    "posture/survey.rs",
    "protocol/lines.rs",
    "protocol/opening.rs",
    "protocol/postgres.rs",
    "protocol/session.rs",
    "protocol/tls/mod.rs",
    "protocol/upgrade.rs",
    "runtime/hearing.rs",
    "runtime/record.rs",
    "runtime/surveyor.rs",
    "token/verifier.rs",
];

#[test]
fn every_reason_in_the_code_can_be_explained() {
    let known = all_words();
    for source in SOURCES {
        let text = std::fs::read_to_string(format!("{}/src/{source}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            // A constant of a policy's own language, or a key of Kubernetes', is no reason.
            let foreign = source.starts_with("graph/import");
            let quoted = if foreign { Vec::new() } else { hyphenated(line, '"') };
            for word in quoted.into_iter().chain(given(line)) {
                assert!(known.contains(&word), "{word} in {source}: {line}");
            }
        }
    }
}

#[test]
fn text_is_wrapped_between_words() {
    assert_eq!(wrapped("one two three", "  ", 9), "  one two\n  three\n");
    assert_eq!(wrapped("unbreakable", "  ", 5), "  unbreakable\n");
}
