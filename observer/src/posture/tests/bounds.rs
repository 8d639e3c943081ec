use serde_json::json;

use super::*;
use crate::identity::{Metadata, ObjectKind};
use crate::posture::{MAX_PODS, MAX_ROWS, MAX_RULES, MAX_TOKENS};

#[test]
fn a_rule_too_many_is_refused_and_makes_what_is_told_incomplete() {
    let mut scene = Scene::new();
    let rule = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]});
    let rules = vec![rule; 1_000];
    for number in 0..MAX_RULES / 1_000 {
        scene.rights("Role", json!({"metadata": {"name": format!("r{number}")}, "rules": rules}));
    }
    let full = scene.rights.apply(&object("Role", json!({"rules": rules}))).unwrap_err().to_string();
    assert!(full.starts_with("Role shop/it: ") && !full.contains('\n'), "{full}");
    assert_eq!(scene.rights.refused(), 1);
    scene.leak("shop/orders");
    assert_eq!(scene.rows(PostureKind::CleartextToken)[0].reason.as_deref(), Some("rights-incomplete"));
    // What is gone makes room.
    let metadata =
        Metadata { name: Some("r0".into()), namespace: Some("shop".into()), ..Metadata::default() };
    scene.rights.delete(ObjectKind::Role, &metadata);
    scene.rights.apply(&object("Role", json!({"rules": rules}))).unwrap();
}

#[test]
fn a_list_tells_what_has_vanished() {
    let mut scene = Scene::new();
    let binding = |name: &str| {
        json!({"metadata": {"name": name}, "roleRef": {"kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [subject("ci", name)]})
    };
    scene.rights.begin_list(ObjectKind::ClusterRoleBinding);
    scene.rights("ClusterRoleBinding", binding("a"));
    scene.rights("ClusterRoleBinding", binding("b"));
    assert_eq!(scene.rights.end_list(ObjectKind::ClusterRoleBinding), 0);
    scene.rights.begin_list(ObjectKind::ClusterRoleBinding);
    scene.rights("ClusterRoleBinding", binding("b"));
    assert_eq!(scene.rights.end_list(ObjectKind::ClusterRoleBinding), 1);
    let rows = scene.rows(PostureKind::ClusterAdmin);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].service_account.as_deref(), Some("b"));
}

#[test]
fn tokens_rows_and_pods_are_bounded_and_the_rest_is_counted() {
    let mut scene = Scene::new();
    for number in 0..MAX_TOKENS + 3 {
        scene.leak(&format!("shop/sa{number}"));
    }
    assert_eq!(scene.seen.forgotten(), 3);
    let rows = scene.rows(PostureKind::CleartextToken);
    assert_eq!(rows.len(), MAX_ROWS + 1);
    assert_eq!(rows[MAX_ROWS].reason.as_deref(), Some("too-many"));
    let uids = (0..MAX_PODS + 1).map(|number| Uid::of(&format!("{number:08}-0000-4000-8000-000000000000")));
    scene.seen.on_this_node(uids, at(0));
}
