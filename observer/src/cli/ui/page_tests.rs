use super::*;
use crate::cli::CliError;
use crate::cli::ui::Answered;

/// Answers with the request itself, or not at all.
struct Echo(Option<&'static str>);

impl Answers for Echo {
    fn ask(&self, request: &crate::sink::query::Request) -> Result<Answered, CliError> {
        match self.0 {
            Some(why) => Err(CliError::Failed(why.to_owned())),
            None => {
                let lines = serde_json::to_string(request).unwrap() + "\n";
                Ok(Answered { lines, silent: vec!["n2".to_owned(), "n3".to_owned()] })
            }
        }
    }
}

fn served(why: Option<&'static str>) -> Arc<Served> {
    Arc::new(Served { answers: Arc::new(Echo(why)), token: Token::new().unwrap() })
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(Bytes::from(body.to_owned()))).unwrap()
}

async fn text(response: Response<Full<Bytes>>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

const HERE: (&str, &str) = ("host", "127.0.0.1:9470");

#[tokio::test]
async fn another_name_than_this_machines_gets_nothing() {
    let served = served(None);
    let token = served.token.as_str().to_owned();
    for path in ["/", "/map.js", "/ask", "/meanings.json"] {
        let method = if path == "/ask" { "POST" } else { "GET" };
        let headers = [("host", "rebound.example.org:9470"), ("observer-token", &token)];
        let response = answer(served.clone(), request(method, path, &headers, r#"{"edges":{}}"#)).await;
        assert_eq!(response.status(), StatusCode::MISDIRECTED_REQUEST, "{path}");
        assert!(!text(response).await.contains("edges"));
    }
    let none = answer(served, request("GET", "/", &[], "")).await;
    assert_eq!(none.status(), StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn data_is_for_whoever_has_the_token() {
    let served = served(None);
    let body = r#"{"edges":{"filter":{"namespace":["shop"]}}}"#;
    let token = served.token.as_str().to_owned();
    let wrong = token.replace(|_| true, "0");
    for headers in [vec![HERE], vec![HERE, ("observer-token", "")], vec![HERE, ("observer-token", &wrong)]] {
        let response = answer(served.clone(), request("POST", "/ask", &headers, body)).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{headers:?}");
        assert!(text(response).await.contains("`observer ui` printed"));
    }
    let response = answer(served, request("POST", "/ask", &[HERE, ("observer-token", &token)], body)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["observer-silent"], "n2,n3");
    assert_eq!(text(response).await, format!("{body}\n"));
}

#[tokio::test]
async fn the_page_holds_no_token_and_may_load_nothing_from_elsewhere() {
    let served = served(None);
    for resource in RESOURCES {
        let response = answer(served.clone(), request("GET", resource.path, &[HERE], "")).await;
        assert_eq!(response.status(), StatusCode::OK);
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        let text = text(response).await;
        assert!(!text.contains(served.token.as_str()));
        // Addresses are in licences and names of XML's, but nothing is fetched from one.
        assert!(!text.contains("src=\"http") && !text.contains("@import") && !text.contains("url(http"));
    }
}

#[tokio::test]
async fn what_is_not_asked_rightly_is_refused_in_one_line() {
    let served = served(None);
    let token = served.token.as_str().to_owned();
    let headers = [HERE, ("observer-token", token.as_str())];
    let long = format!(r#"{{"edges":{{"filter":{{"namespace":["{}"]}}}}}}"#, "a".repeat(70_000));
    for (method, path, body, status) in [
        ("GET", "/nothing", "", 404),
        ("GET", "/../Cargo.toml", "", 404),
        ("GET", "/ask", "", 405),
        ("POST", "/", "", 405),
        ("POST", "/ask", r#"{"posture":{}}"#, 400),
        ("POST", "/ask", "", 400),
        ("POST", "/ask", &long, 413),
    ] {
        let response = answer(served.clone(), request(method, path, &headers, body)).await;
        assert_eq!(response.status().as_u16(), status, "{method} {path}");
        assert_eq!(text(response).await.lines().count(), 1, "{method} {path}");
    }
}

#[tokio::test]
async fn an_observer_that_does_not_answer_is_told_in_its_own_words() {
    let served = served(Some("no observer answers at /x;\nstart one"));
    let token = served.token.as_str().to_owned();
    let headers = [HERE, ("observer-token", token.as_str())];
    let response = answer(served, request("POST", "/ask", &headers, r#""coverage""#)).await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(text(response).await, "no observer answers at /x;; start one\n");
}
