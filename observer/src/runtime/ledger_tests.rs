use serde_json::json;

use super::*;
use crate::identity::Metadata;

const KIND: Declaring = Declaring(GraphKind::ServiceGraph);

fn object(name: &str, generation: i64, spec: Value) -> DeclaringObject {
    let metadata = json!({
        "name": name, "namespace": "shop", "generation": generation, "uid": format!("{name}-1"),
    });
    let value = json!({"apiVersion": "observer.dev/v1alpha1", "metadata": metadata, "spec": spec});
    DeclaringObject { api_version: "observer.dev/v1alpha1".into(), value }
}

fn edge(from: &str) -> Value {
    json!({"edges": [{"from": {"serviceAccount": from}, "to": {"serviceAccount": "payments"}}]})
}

fn name(name: &str) -> ObjectName {
    ObjectName { kind: GraphKind::ServiceGraph, namespace: "shop".into(), name: name.into() }
}

/// One that heard its first list, of these.
fn ledger(objects: Vec<DeclaringObject>, now: Instant) -> Ledger {
    let mut ledger = Ledger::new(Declarations::default(), [GraphKind::ServiceGraph], now);
    ledger.take(KIND, Change::Begin, now);
    for object in objects {
        assert_eq!(ledger.take(KIND, Change::Apply(object), now), Taken::Fine);
    }
    ledger.take(KIND, Change::End, now);
    ledger.take(KIND, Change::Settled, now);
    ledger
}

fn edges(ledger: &mut Ledger) -> usize {
    ledger.compile().unwrap().0.declared_edges()
}

#[test]
fn nothing_is_in_force_before_the_first_lists_are_complete() {
    let start = Instant::now();
    let mut ledger = Ledger::new(Declarations::default(), [GraphKind::ServiceGraph], start);
    ledger.take(KIND, Change::Begin, start);
    ledger.take(KIND, Change::Apply(object("a", 1, edge("orders"))), start);
    assert_eq!(ledger.due(start), Some(start + LISTS_WITHIN));
    assert!(!ledger.is_settled(start));
    ledger.take(KIND, Change::End, start);
    ledger.take(KIND, Change::Settled, start);
    assert_eq!(ledger.due(start), Some(start + QUIET));
    assert!(ledger.is_settled(start));
}

#[test]
fn news_wait_for_each_other_but_never_for_a_second() {
    let start = Instant::now();
    let mut ledger = ledger(Vec::new(), start);
    ledger.compile().unwrap();
    assert_eq!(ledger.due(start), None);
    for n in 0..40 {
        let now = start + Duration::from_millis(100 * n);
        ledger.take(KIND, Change::Apply(object("a", n as i64 + 1, edge("orders"))), now);
        assert!(ledger.due(now).unwrap() <= start + AT_MOST.max(now - start + QUIET));
        assert!(ledger.due(now).unwrap() <= start + AT_MOST);
        if n == 5 {
            break;
        }
    }
    assert!(AT_MOST < Duration::from_secs(1));
}

#[test]
fn half_of_a_list_is_not_taken_for_the_whole() {
    let start = Instant::now();
    let mut ledger = ledger(vec![object("a", 1, edge("orders"))], start);
    assert_eq!(edges(&mut ledger), 1);
    ledger.take(KIND, Change::Begin, start);
    ledger.take(KIND, Change::Apply(object("b", 1, edge("orders"))), start);
    assert_eq!(ledger.due(start), Some(start + WITH_LIST));
    ledger.take(KIND, Change::End, start);
    assert_eq!(ledger.due(start), Some(start + QUIET));
    // `a` was not listed: it has gone unheard.
    assert_eq!(edges(&mut ledger), 1);
    assert_eq!(ledger.graphs().map(|(name, ..)| name.clone()).collect::<Vec<_>>(), [name("b")]);
}

#[test]
fn a_broken_object_keeps_what_it_said_before_and_is_told_of_once() {
    let start = Instant::now();
    let mut ledger = ledger(vec![object("a", 1, edge("orders"))], start);
    let broken = |generation| object("a", generation, json!({"edges": [{"from": {}, "to": {}}]}));
    let Taken::Broken(Some(told)) = ledger.take(KIND, Change::Apply(broken(2)), start) else { panic!() };
    assert!(told.starts_with("ServiceGraph shop/a: spec.edges[0].from: must be one of"), "{told}");
    assert!(told.ends_with("what it said before stays in force"), "{told}");
    assert_eq!(ledger.take(KIND, Change::Apply(broken(3)), start), Taken::Broken(None));
    assert_eq!(edges(&mut ledger), 1);
    let (_, standing, refused) = ledger.graphs().next().unwrap();
    assert_eq!((standing.edges, standing.generation), (1, Some(3)));
    let refused = refused.unwrap();
    assert!(refused.reason == "Invalid" && refused.message.contains("spec.edges[0].from"), "{refused:?}");
    // A list that has it in its broken form does not take it away.
    ledger.take(KIND, Change::Begin, start);
    ledger.take(KIND, Change::Apply(broken(3)), start);
    ledger.take(KIND, Change::End, start);
    assert_eq!(edges(&mut ledger), 1);
    ledger.take(KIND, Change::Apply(object("a", 4, edge("frontend"))), start);
    assert!(ledger.graphs().all(|(_, _, refused)| refused.is_none()));
}

#[test]
fn an_object_that_cannot_be_read_at_all_stays_through_a_list() {
    let start = Instant::now();
    let mut ledger = ledger(vec![object("a", 1, edge("orders"))], start);
    ledger.take(KIND, Change::Begin, start);
    let metadata = Metadata { name: Some("a".into()), namespace: Some("shop".into()), ..Metadata::default() };
    let malformed = Change::Malformed {
        object: "ServiceGraph shop/a".into(),
        metadata: Box::new(metadata),
        problem: "recursion limit exceeded".into(),
    };
    assert!(matches!(ledger.take(KIND, malformed, start), Taken::Broken(Some(_))));
    ledger.take(KIND, Change::End, start);
    assert_eq!(edges(&mut ledger), 1);
}

#[test]
fn a_status_is_no_news_and_another_object_of_that_name_is() {
    let start = Instant::now();
    let mut ledger = ledger(vec![object("a", 1, edge("orders"))], start);
    ledger.compile().unwrap();
    let mut with_status = object("a", 1, edge("orders"));
    with_status.value["status"] = json!({"edges": 1});
    ledger.take(KIND, Change::Apply(with_status), start);
    assert_eq!(ledger.due(start), None);
    assert_eq!(ledger.graphs().next().unwrap().1.status["edges"], 1);
    let mut other = object("a", 1, edge("frontend"));
    other.value["metadata"]["uid"] = "another".into();
    ledger.take(KIND, Change::Apply(other), start);
    assert!(ledger.due(start).is_some());
}

#[test]
fn a_file_wins_over_an_object_of_the_same_name() {
    let start = Instant::now();
    let mut files = Declarations::default();
    let DeclaringObject { api_version, value } = object("a", 1, edge("orders"));
    files.apply(GraphKind::ServiceGraph, "/graphs/a.yaml".into(), &api_version, value).unwrap();
    let mut ledger = Ledger::new(files, [GraphKind::ServiceGraph], start);
    let two = json!({"edges": [edge("frontend")["edges"][0], edge("admin")["edges"][0]]});
    ledger.take(KIND, Change::Begin, start);
    ledger.take(KIND, Change::Apply(object("a", 1, two)), start);
    ledger.take(KIND, Change::End, start);
    assert_eq!(edges(&mut ledger), 1);
    assert_eq!(ledger.graphs().next().unwrap().2.unwrap().reason, "Overridden");
    let gone = object("a", 1, edge("frontend"));
    ledger.take(KIND, Change::Delete(gone), start);
    assert_eq!(edges(&mut ledger), 1);
}
