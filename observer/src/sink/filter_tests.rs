use super::*;
use crate::model::{Authentication, RequestCounts};
use crate::sink::fixture::{edge_between, record};

fn filter(text: &str) -> Filter {
    serde_json::from_str(text).unwrap()
}

/// A plaintext HTTP/1.1 call without a credential, from shop/orders to shop/payments:8080 over TCP.
fn matches(text: &str) -> bool {
    filter(text).matches(&record(1))
}

#[test]
fn several_values_are_any_of_them_and_several_keys_all_of_them() {
    assert!(matches(r#"{"from":["shop/carts","shop/orders"]}"#));
    assert!(!matches(r#"{"from":["shop/carts","shop/payments"]}"#));
    assert!(matches(r#"{"from":["shop/orders"],"encryption":["tls","plaintext"],"port":[8080]}"#));
    assert!(!matches(r#"{"from":["shop/orders"],"encryption":["tls","plaintext"],"port":[8081]}"#));
    assert!(!matches(r#"{"from":["shop/carts"],"encryption":["tls","plaintext"],"port":[8080]}"#));
    assert!(matches("{}") && matches(r#"{"from":[]}"#));
}

#[test]
fn each_key_chooses_by_what_it_is_named_after() {
    for (chosen, left_out) in [
        (r#"{"namespace":["shop"]}"#, r#"{"namespace":["sho"]}"#),
        (r#"{"to":["shop/payments"]}"#, r#"{"to":["shop/orders"]}"#),
        (r#"{"encryption":["plaintext"]}"#, r#"{"encryption":["tls","mtls","unknown"]}"#),
        (r#"{"authentication":["none"]}"#, r#"{"authentication":["verified","unknown"]}"#),
        (r#"{"declaration":["ungoverned"]}"#, r#"{"declaration":["allowed"]}"#),
        (r#"{"protocol":["http/1.1"]}"#, r#"{"protocol":["http/2"]}"#),
        (r#"{"transport":["tcp"]}"#, r#"{"transport":["udp"]}"#),
        (r#"{"port":[8080]}"#, r#"{"port":[40001]}"#),
        (r#"{"since":"2023-11-14T22:13:21Z"}"#, r#"{"since":"2023-11-14T22:13:22Z"}"#),
        (r#"{"until":"2023-11-14T22:13:22Z"}"#, r#"{"until":"2023-11-14T22:13:21Z"}"#),
    ] {
        assert!(matches(chosen), "{chosen}");
        assert!(!matches(left_out), "{left_out}");
    }
}

#[test]
fn a_namespace_is_asked_for_with_a_slash_at_its_end() {
    for (wanted, yes) in
        [("shop/", true), ("sho/", false), ("shop/ord", false), ("shop/orders", true), ("/", false)]
    {
        let text = format!(r#"{{"from":["{wanted}"]}}"#);
        assert_eq!(matches(&text), yes, "{text}");
        let edge = edge_between("shop/orders", "shop/payments", 8080);
        assert_eq!(filter(&text).matches_edge(&edge, record(1).time), yes, "{text}");
    }
    let outside = edge_between("external", "shop/payments", 8080);
    assert!(filter(r#"{"from":["external"]}"#).matches_edge(&outside, record(1).time));
    assert!(!filter(r#"{"from":["/"]}"#).matches_edge(&outside, record(1).time));
}

#[test]
fn a_pod_is_asked_for_by_how_its_name_begins() {
    let mut record = record(1);
    record.client.pod = Some("orders-7d-x2".into());
    for (wanted, yes) in [
        ("orders", true),
        ("orders-7d-x2", true),
        ("shop/orders-7d", true),
        ("bank/orders", false),
        ("rders", false),
        ("payments", false),
    ] {
        assert_eq!(filter(&format!(r#"{{"pod":["{wanted}"]}}"#)).matches(&record), yes, "{wanted}");
    }
}

#[test]
fn a_flow_has_the_authentication_of_any_of_its_requests() {
    let mut record = record(1);
    record.requests = Some(RequestCounts { total: 2, none: 1, verified: 1, ..RequestCounts::default() });
    record.authentication =
        Some(Authentication { status: AuthenticationStatus::Verified, ..Authentication::default() });
    for (status, yes) in [("none", true), ("verified", true), ("present", false)] {
        assert_eq!(
            filter(&format!(r#"{{"authentication":["{status}"]}}"#)).matches(&record),
            yes,
            "{status}"
        );
    }
    (record.requests, record.authentication) = (None, None);
    assert!(!filter(r#"{"authentication":["none"]}"#).matches(&record));
}

#[test]
fn the_number_and_the_length_of_values_are_bounded() {
    let many = |count: usize| serde_json::json!({ "port": vec![1; count] }).to_string();
    assert!(serde_json::from_str::<Filter>(&many(MAX_VALUES)).is_ok());
    let complaint = serde_json::from_str::<Filter>(&many(MAX_VALUES + 1)).unwrap_err().to_string();
    assert!(complaint.contains("more than 32 values"), "{complaint}");
    let long = |length: usize| serde_json::json!({ "pod": ["a".repeat(length)] }).to_string();
    assert!(serde_json::from_str::<Filter>(&long(MAX_VALUE_LENGTH)).is_ok());
    let complaint = serde_json::from_str::<Filter>(&long(MAX_VALUE_LENGTH + 1)).unwrap_err().to_string();
    assert!(complaint.contains("longer than 320 bytes"), "{complaint}");
}

#[test]
fn the_longest_filter_fits_into_a_request() {
    let names = || vec!["a".repeat(MAX_VALUE_LENGTH); MAX_VALUES];
    let filter = Filter { namespace: names(), from: names(), to: names(), pod: names(), ..Filter::default() };
    let length = serde_json::to_string(&filter).unwrap().len() as u64;
    assert!(length + 4_096 < crate::sink::query::MAX_REQUEST, "{length}");
}
