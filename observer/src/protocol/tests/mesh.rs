//! What service meshes say in their ClientHellos, by openssl.

use super::tls::read;
use super::{Talk, plays};
use crate::model::{Encryption, EncryptionStatus, Evidence, Mesh, MeshTarget, Protocol};
use crate::protocol::infer_tunnel;

const ISTIO: &str = include_str!("../testdata/tls13_istio.json");
const LINKERD: &str = include_str!("../testdata/tls13_linkerd.json");
/// Consul's name, TLS 1.2, and no certificate.
const CONSUL_BARE: &str = include_str!("../testdata/tls12_consul_bare.json");
const PLAIN13: &str = include_str!("../testdata/tls13.json");

fn target(service: Option<&str>, namespace: Option<&str>, port: Option<u16>) -> MeshTarget {
    MeshTarget {
        service: service.map(Into::into),
        namespace: namespace.map(Into::into),
        port,
        service_account: None,
    }
}

/// A real hello with other names in it, in the handshake of `json`.
fn says(json: &str, sni: Option<&str>, alpn: &[&str]) -> Encryption {
    let mut spoken = read(json).spoken();
    spoken[0].1 = hello(sni, alpn);
    plays(&spoken).verdict().unwrap().1
}

/// The smallest ClientHello of RFC 8446 section 4.1.2 with these two extensions.
fn hello(sni: Option<&str>, alpn: &[&str]) -> Vec<u8> {
    let block16 = |body: &[u8]| [&(body.len() as u16).to_be_bytes()[..], body].concat();
    let block8 = |body: &[u8]| [&[body.len() as u8][..], body].concat();
    let mut extensions = Vec::new();
    if let Some(sni) = sni {
        let name = [&[0][..], &block16(sni.as_bytes())].concat();
        extensions.extend([&[0, 0][..], &block16(&block16(&name))].concat());
    }
    if !alpn.is_empty() {
        let names = alpn.iter().map(|name| block8(name.as_bytes())).collect::<Vec<_>>().concat();
        extensions.extend([&[0, 16][..], &block16(&block16(&names))].concat());
    }
    let body = [&[3, 3][..], &[7; 32], &[0], &block16(&[0x13, 1]), &[1, 0], &block16(&extensions)].concat();
    let message = [&[1][..], &(body.len() as u32).to_be_bytes()[1..], &body].concat();
    [&[22, 3, 1][..], &block16(&message)].concat()
}

#[test]
fn a_meshs_hello_in_a_handshake_that_went_on_is_inferred_mtls() {
    for (json, mesh, meant) in [
        (ISTIO, Mesh::Istio, target(Some("reviews"), Some("shop"), Some(9080))),
        (
            LINKERD,
            Mesh::Linkerd,
            MeshTarget {
                service_account: Some("shop/payments".into()),
                namespace: Some("shop".into()),
                ..MeshTarget::default()
            },
        ),
    ] {
        let capture = read(json);
        let expected = Encryption {
            status: EncryptionStatus::Mtls,
            evidence: Some(Evidence::Inferred),
            mesh: Some(mesh),
            mesh_target: Some(meant),
            ..capture.expected()
        };
        assert_eq!(plays(&capture.spoken()).verdict(), Some((Protocol::Tls, expected)));
    }
}

#[test]
fn a_meshs_hello_that_nobody_answers_is_unknown() {
    let mut talk = Talk::default();
    talk.client(&read(ISTIO).spoken()[0].1).ends();
    let (_, encryption) = talk.verdict().unwrap();
    assert_eq!((encryption.status, encryption.mesh), (EncryptionStatus::Unknown, None));
    assert!(encryption.sni.is_some_and(|sni| sni.starts_with("outbound_.9080_")));
}

/// TLS 1.2 shows whether there was a certificate: a name alone makes no mesh.
#[test]
fn a_meshs_name_from_a_client_that_was_seen_to_show_no_certificate_is_tls() {
    let capture = read(CONSUL_BARE);
    assert_eq!(plays(&capture.spoken()).verdict(), Some((Protocol::Tls, capture.expected())));
}

#[test]
fn each_meshs_names_and_protocols_are_known() {
    let consul = "11111111-2222-3333-4444-555555555555.consul";
    let web = || Some(target(Some("web"), Some("default"), None));
    let istio = |service: &str, namespace, port| Some(target(Some(service), namespace, Some(port)));
    let table = [
        (None, vec!["istio"], Some((Mesh::Istio, None))),
        (None, vec!["istio-peer-exchange", "istio"], Some((Mesh::Istio, None))),
        (None, vec!["istio-http/1.0"], Some((Mesh::Istio, None))),
        (None, vec!["istio-http/1.1"], Some((Mesh::Istio, None))),
        (None, vec!["istio-h2"], Some((Mesh::Istio, None))),
        (
            Some("outbound_.80_.v1_.web.shop.svc.cluster.local".to_owned()),
            vec![],
            Some((Mesh::Istio, istio("web", Some("shop"), 80))),
        ),
        (
            Some("outbound_.443_._.api.example.com".to_owned()),
            vec![],
            Some((Mesh::Istio, istio("api.example.com", None, 443))),
        ),
        (None, vec!["transport.l5d.io/v1"], Some((Mesh::Linkerd, None))),
        (Some(format!("web.default.dc1.internal.{consul}")), vec![], Some((Mesh::Consul, web()))),
        (Some(format!("v2.web.default.dc1.internal.{consul}")), vec![], Some((Mesh::Consul, web()))),
        (Some(format!("web.default.part.dc1.internal-v1.{consul}")), vec![], Some((Mesh::Consul, web()))),
        (Some(format!("v2.web.default.part.dc1.internal-v1.{consul}")), vec![], Some((Mesh::Consul, web()))),
        // What only looks like one.
        (Some("outbound_.http_._.web".to_owned()), vec!["h2"], None),
        (Some("outbound_.80_.web".to_owned()), vec![], None),
        (Some("outbound.example.com".to_owned()), vec![], None),
        (Some("serviceaccount.identity.linkerd.cluster.local".to_owned()), vec![], None),
        (Some("a.b.serviceaccount.identity.linkerd".to_owned()), vec![], None),
        (Some("example.consul".to_owned()), vec![], None),
        (Some("internal.consul".to_owned()), vec![], None),
        (None, vec!["h2", "http/1.1"], None),
        (None, vec!["Istio"], None),
    ];
    for (sni, alpn, expected) in table {
        let encryption = says(PLAIN13, sni.as_deref(), &alpn);
        let status = if expected.is_some() { EncryptionStatus::Mtls } else { EncryptionStatus::Tls };
        assert_eq!(encryption.status, status, "{sni:?} {alpn:?}");
        let (mesh, meant) = expected.map_or((None, None), |(mesh, meant)| (Some(mesh), meant));
        assert_eq!((encryption.mesh, encryption.mesh_target), (mesh, meant), "{sni:?} {alpn:?}");
    }
}

#[test]
fn a_tunnel_of_ambient_is_told_by_port_and_offer() {
    let table = [
        (15008, None, vec!["h2"], true),
        (15008, None, vec!["h2", "http/1.1"], false),
        (15008, None, vec![], false),
        (15008, Some("ledger.shop.svc"), vec!["h2"], false),
        (8443, None, vec!["h2"], false),
    ];
    for (port, sni, alpn, is_tunnel) in table {
        let before = says(PLAIN13, sni, &alpn);
        let mut after = before.clone();
        infer_tunnel(&mut after, port);
        let expected = Encryption {
            status: EncryptionStatus::Mtls,
            evidence: Some(Evidence::Inferred),
            mesh: Some(Mesh::Ambient),
            ..before.clone()
        };
        assert_eq!(after, if is_tunnel { expected } else { before }, "{port} {sni:?} {alpn:?}");
    }
    let mut failed = Encryption { alpn: vec!["h2".into()], ..Encryption::default() };
    infer_tunnel(&mut failed, 15008);
    assert_eq!(failed.status, EncryptionStatus::Unknown);
}

/// RFC 8701 section 2: such names say nothing, though some of them are letters.
#[test]
fn feigned_protocols_are_no_offer() {
    let encryption = says(PLAIN13, Some("ledger.shop.svc"), &["jj", "h2", "**", "http/1.1", "ZZ"]);
    assert_eq!(encryption.alpn, ["h2".into(), "http/1.1".into()]);
}

/// RFC 9849 sections 5 and 6.2: the extension may be feigned, so the name is told, with the doubt.
#[test]
fn a_name_beside_an_encrypted_hello_may_be_a_front() {
    let mut spoken = read(PLAIN13).spoken();
    assert!(!plays(&spoken).verdict().unwrap().1.ech);
    let mut hello = hello(Some("front.example"), &[]);
    hello.extend([0xfe, 0x0d, 0, 2, 0, 0]);
    for (at, by) in [(4, 6), (8, 6)] {
        hello[at] += by;
    }
    let extensions = 5 + 4 + 2 + 32 + 1 + 4 + 2;
    hello[extensions + 1] += 6;
    spoken[0].1 = hello;
    let (_, encryption) = plays(&spoken).verdict().unwrap();
    assert_eq!((encryption.ech, encryption.sni.as_deref()), (true, Some("front.example")));
    assert_eq!(encryption.status, EncryptionStatus::Tls);
}
