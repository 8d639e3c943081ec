use super::*;

fn own(json: &str) -> OwnClaims {
    serde_json::from_str(json).unwrap()
}

#[test]
fn k3s_audience_is_learnt_from_our_own_token() {
    let claims =
        own(r#"{"iss":"https://kubernetes.default.svc","aud":["https://kubernetes.default.svc","k3s"]}"#);
    let audiences = api_audiences("https://kubernetes.default.svc", claims);
    assert_eq!(audiences, ["https://kubernetes.default.svc", "k3s"]);
    assert_eq!(api_audiences("https://a", own(r#"{"iss":"https://a","aud":"x"}"#)), ["https://a", "x"]);
}

#[test]
fn a_token_of_another_issuer_says_nothing_of_the_api_servers_audiences() {
    let claims = own(r#"{"iss":"https://sso.example","aud":["portal"]}"#);
    assert_eq!(api_audiences("https://a", claims), ["https://a"]);
    assert_eq!(api_audiences("https://a", OwnClaims::default()), ["https://a"]);
}

#[test]
fn the_servers_clock_is_read_from_its_date() {
    // RFC 9110 section 5.6.7's own example.
    assert_eq!(date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Timestamp::from_seconds(784_111_777)));
    assert_eq!(date("yesterday"), None);
}

#[test]
fn what_is_no_discovery_document_is_said_without_being_quoted() {
    let error = discovery(b"<html>secret</html>").err().unwrap();
    assert!(error.contains("line 1") && !error.contains("secret"), "{error}");
}

/// A server that answers each request by its path, until the test ends.
fn serve(answers: &'static [(&'static str, &'static str)]) -> String {
    use std::io::{Read as _, Write as _};

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let own = origin.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut bytes = [0; 4096];
            let length = stream.read(&mut bytes).unwrap_or(0);
            let head = String::from_utf8_lossy(&bytes[..length]).into_owned();
            let path = head.split_whitespace().nth(1).unwrap_or_default().to_owned();
            let found =
                answers.iter().find(|(at, _)| *at == path).map(|(_, body)| body.replace("ORIGIN", &own));
            let (status, body) = found.map_or((404, String::new()), |body| (200, body));
            let _ = write!(
                stream,
                "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
        }
    });
    origin
}

fn load(issuer: &str, keys: Option<&str>) -> Result<Vec<u8>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let source = KeySource::Address { issuer: issuer.to_owned(), keys: keys.map(str::to_owned), ca: None };
    runtime.block_on(source.load()).map(|loaded| loaded.keys.jwks)
}

#[test]
fn an_issuers_keys_are_where_its_discovery_document_says() {
    let origin = serve(&[
        (DISCOVERY, r#"{"issuer":"ORIGIN","jwks_uri":"ORIGIN/keys?v=1"}"#),
        ("/keys?v=1", r#"{"keys":[]}"#),
    ]);
    assert_eq!(load(&origin, None).unwrap(), br#"{"keys":[]}"#);
}

#[test]
fn a_discovery_document_of_another_issuer_is_not_believed() {
    let origin = serve(&[(DISCOVERY, r#"{"issuer":"https://evil.example","jwks_uri":"ORIGIN/keys"}"#)]);
    let error = load(&origin, None).unwrap_err();
    assert!(error.contains("speaks for another issuer"), "{error}");
}

#[test]
fn keys_that_cannot_be_had_are_told_in_one_line_with_where() {
    let origin = serve(&[]);
    let missing = load("spiffe://example.org", Some(&format!("{origin}/bundle"))).unwrap_err();
    assert!(missing.contains("/bundle") && missing.contains("404"), "{missing}");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = load("x", Some(&format!("http://{nobody}/keys"))).unwrap_err();
    assert!(refused.contains("refused") && !refused.contains('\n'), "{refused}");
    let relative = load("x", Some("keys.json")).unwrap_err();
    assert!(relative.contains("no absolute address"), "{relative}");
}

#[test]
fn an_answer_without_end_is_no_key_set() {
    let body: &'static str = Box::leak("x".repeat(2 << 20).into_boxed_str());
    let answers: &'static [(&'static str, &'static str)] =
        Box::leak(vec![("/keys", body)].into_boxed_slice());
    let origin = serve(answers);
    let error = load("x", Some(&format!("{origin}/keys"))).unwrap_err();
    assert!(error.contains("no key set"), "{error}");
}
