//! HTTP/2 as curl, nghttp2, nginx and Go speak it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;

use super::{Capture, Shown, Talk, Told, cut, plays};
use crate::model::{EncryptionStatus, Protocol};

/// A header block, as far as its fields matter.
#[derive(Clone, Deserialize)]
struct Message {
    from: String,
    stream: u32,
    headers: BTreeMap<String, String>,
}

const ALL: [(&str, &str); 7] = [
    ("curl and nginx", include_str!("../testdata/http2_nginx_curl.json")),
    ("nghttp and nginx, priorities and padding", include_str!("../testdata/http2_nginx_nghttp.json")),
    ("nghttp and nginx, in several frames", include_str!("../testdata/http2_nginx_continuation.json")),
    ("nghttp2, trailers and tables of nothing", include_str!("../testdata/http2_nghttpd_trailers.json")),
    ("Go, its token indexed", include_str!("../testdata/http2_go.json")),
    ("Go, gRPC's UNAUTHENTICATED", include_str!("../testdata/http2_go_refusing.json")),
    ("curl and Go, by Upgrade", include_str!("../testdata/http2_go_upgrade.json")),
];

fn captures() -> impl Iterator<Item = (&'static str, Capture<Vec<Message>>)> {
    ALL.into_iter().map(|(name, json)| (name, serde_json::from_str(json).unwrap()))
}

/// Method, path without query and Authorization of each request that tshark reads; a field may be in a later frame of
/// the same block.
fn asked(messages: &[Message]) -> Vec<(String, String, Option<String>)> {
    let mut asked: Vec<(u32, String, String, Option<String>)> = Vec::new();
    for Message { stream, headers, .. } in messages.iter().filter(|message| message.from == "client") {
        let authorization = headers.get("authorization").cloned();
        if let Some(method) = headers.get(":method") {
            let path = headers[":path"].split('?').next().unwrap_or_default().to_owned();
            asked.push((*stream, method.clone(), path, authorization));
        } else if let Some(request) = asked.iter_mut().find(|(known, ..)| known == stream) {
            request.3 = request.3.take().or(authorization);
        }
    }
    asked.into_iter().map(|(_, method, path, authorization)| (method, path, authorization)).collect()
}

#[test]
fn every_request_and_status_that_tshark_reads_is_seen() {
    for (name, capture) in captures() {
        let talk = plays(&capture.spoken());
        let requests: Vec<_> = talk
            .told
            .iter()
            .filter_map(|told| match told {
                Told::Request { method, path, credentials } => {
                    let value = match credentials {
                        Shown::Authorization(value) => Some(value.clone()),
                        Shown::None => None,
                        other => panic!("{name}: {other:?}"),
                    };
                    Some((method.clone().unwrap(), path.clone().unwrap(), value))
                }
                _ => None,
            })
            .collect();
        let mut asked = asked(&capture.tshark);
        let mut statuses: Vec<u16> = capture
            .tshark
            .iter()
            .filter_map(|message| message.headers.get(":status")?.parse().ok())
            .collect();
        if name == "curl and Go, by Upgrade" {
            // tshark reads it as HTTP/1's: `capture.py` has what curl asked for.
            asked.insert(0, ("GET".into(), "/".into(), Some("Bearer example-of-no-use".into())));
            statuses.insert(0, 101);
        }
        assert_eq!(requests, asked, "{name}");
        assert_eq!(talk.statuses(), statuses, "{name}");
        let refused = capture.tshark.iter().filter(|message| message.headers.contains_key("grpc-status"));
        assert_eq!(
            talk.told.iter().filter(|told| **told == Told::Refused).count(),
            refused.count(),
            "{name}"
        );
        assert_eq!((talk.malformed(), talk.truncations()), (Vec::new(), 0), "{name}");
        let (protocol, encryption) = talk.verdict().unwrap();
        let grpc = name.starts_with("Go, gRPC");
        assert_eq!(protocol, if grpc { Protocol::Grpc } else { Protocol::Http2 }, "{name}");
        assert_eq!(encryption.status, EncryptionStatus::Plaintext, "{name}");
    }
}

#[test]
fn a_real_client_that_repeats_its_token_sends_it_once() {
    let (_, capture) = captures().find(|(name, _)| name.starts_with("Go, its token")).unwrap();
    let talk = plays(&capture.spoken());
    assert_eq!(talk.told.iter().filter(|told| matches!(told, Told::Kept(_))).count(), 1);
    assert!(talk.requests().len() > 1);
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
                let before = talk.told.len();
                talk.says(*client, &[*byte]);
                assert_eq!(talk.told[before..], whole[before..talk.told.len()], "{name}");
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
                assert!(whole.requests().starts_with(&talk.requests()), "{name}: {segments}, {taken}");
            }
        }
    }
}

/// Attached anywhere: what is read is what the client asked for, or unknown; and no more than it asked.
#[test]
fn a_connection_from_before_invents_nothing() {
    for (name, capture) in captures().filter(|(name, _)| *name != "curl and Go, by Upgrade") {
        let spoken = capture.spoken();
        let whole = plays(&spoken);
        for from in 1..spoken.len() {
            let mut talk = Talk::default();
            talk.session.attach_midstream(&mut talk.told);
            for (client, bytes) in &spoken[from..] {
                talk.says(*client, bytes);
            }
            let seen = talk.requests();
            assert!(seen.len() <= whole.requests().len(), "{name}, from {from}");
            for (method, shown) in seen {
                let known = whole.requests().contains(&(method, shown.clone()));
                assert!(
                    known || matches!(shown, Shown::Unknown(_)),
                    "{name}, from {from}: {method} {shown:?}"
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
