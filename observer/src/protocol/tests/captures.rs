//! HTTP/1 as curl, nginx and Python speak it.

use proptest::prelude::*;
use serde::Deserialize;

use super::{Capture, Shown, Talk, Told, cut, plays};
use crate::model::{EncryptionStatus, Protocol};

#[derive(Deserialize)]
struct Http {
    requests: Vec<Asked>,
    statuses: Vec<u16>,
}

#[derive(Deserialize)]
struct Asked {
    method: String,
    path: String,
    authorization: Option<String>,
}

const ALL: [(&str, &str); 7] = [
    ("python", include_str!("../testdata/http_python.json")),
    ("python, not found", include_str!("../testdata/http_python_error.json")),
    ("nginx, kept alive", include_str!("../testdata/http_nginx_keepalive.json")),
    ("nginx, 100-continue", include_str!("../testdata/http_nginx_continue.json")),
    ("nginx, behind a PROXY header of curl's", include_str!("../testdata/proxy_nginx_curl.json")),
    ("nginx, behind a PROXY header of haproxy's", include_str!("../testdata/proxy_nginx_haproxy.json")),
    ("nginx, pipelined", include_str!("../testdata/http_nginx_pipelined.json")),
];

fn captures() -> impl Iterator<Item = (&'static str, Capture<Http>)> {
    ALL.into_iter().map(|(name, json)| (name, serde_json::from_str(json).unwrap()))
}

#[test]
fn every_request_and_status_that_tshark_reads_is_seen() {
    for (name, capture) in captures() {
        let talk = plays(&capture.spoken());
        let asked: Vec<(&str, Shown)> = capture
            .tshark
            .requests
            .iter()
            .map(|asked| {
                let shown = asked.authorization.clone().map_or(Shown::None, Shown::Authorization);
                (asked.method.as_str(), shown)
            })
            .collect();
        let paths: Vec<&str> = capture.tshark.requests.iter().map(|asked| asked.path.as_str()).collect();
        // Interim responses are no answers (RFC 9110 section 15.2).
        let statuses: Vec<u16> =
            capture.tshark.statuses.iter().copied().filter(|&status| status >= 200).collect();
        assert!(!asked.is_empty() && !statuses.is_empty(), "{name}");
        assert_eq!(talk.requests(), asked, "{name}");
        assert_eq!(talk.paths(), paths, "{name}");
        assert_eq!(talk.statuses(), statuses, "{name}");
        assert_eq!(talk.malformed(), Vec::<&str>::new(), "{name}");
        assert_eq!(talk.truncations(), 0, "{name}");
        let (protocol, encryption) = talk.verdict().unwrap();
        assert_eq!((protocol, encryption.status), (Protocol::Http11, EncryptionStatus::Plaintext), "{name}");
    }
}

#[test]
fn a_flow_is_classified_once() {
    for (name, capture) in captures() {
        let talk = plays(&capture.spoken());
        let classified = |told: &&Told| matches!(told, Told::Classified(..));
        assert_eq!(talk.told.iter().filter(classified).count(), 1, "{name}");
    }
}

/// What is told after a prefix is the start of what is told in the end: nothing is taken back, nothing invented.
#[test]
fn every_prefix_of_a_capture_tells_a_prefix_of_the_story() {
    for (name, capture) in captures() {
        let spoken = capture.spoken();
        let whole = plays(&spoken).told;
        let mut talk = Talk::default();
        for (client, bytes) in &spoken {
            for byte in bytes {
                talk.says(*client, &[*byte]);
                assert!(whole.starts_with(&talk.told), "{name}");
            }
        }
        talk.ends();
        assert_eq!(talk.told, whole, "{name}");
    }
}

#[test]
fn a_capture_that_stops_anywhere_gives_no_request_that_was_not_made() {
    for (name, capture) in captures() {
        let spoken = capture.spoken();
        let whole = plays(&spoken);
        for segments in 0..spoken.len() {
            for taken in [0, 1, spoken[segments].1.len() / 2, spoken[segments].1.len().saturating_sub(1)] {
                let mut cut_short = spoken[..segments].to_vec();
                cut_short.push((spoken[segments].0, spoken[segments].1[..taken].to_vec()));
                let talk = plays(&cut_short);
                assert!(
                    whole.requests().starts_with(&talk.requests()),
                    "{name}: {segments} segments, {taken}"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_segmentation_tells_the_same_story(sizes in prop::collection::vec(1usize..200, 1..20)) {
        for (_, capture) in captures() {
            let spoken = capture.spoken();
            prop_assert_eq!(plays(&cut(&spoken, &sizes)).told, plays(&spoken).told);
        }
    }
}
