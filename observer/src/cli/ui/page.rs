//! The page's server: its files for everybody on this machine, its data for whoever has the token.

use std::sync::Arc;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body, Bytes};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};

use super::Answers;
use super::ask::{Ask, ask};
use super::door::{Token, is_loopback};
use super::resources::{RESOURCES, meanings};
use crate::cli::one_line;
use crate::sink::query::MAX_REQUEST;
use crate::sink::serve::{plain, respond};

/// The page's files and nothing else: no script or style within the page, nothing from elsewhere, no frame around it,
/// and no markup made of text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
const TOKEN: HeaderName = HeaderName::from_static("observer-token");
/// Nodes that did not answer, with commas between them.
const SILENT: HeaderName = HeaderName::from_static("observer-silent");
const LINES: &str = "application/x-ndjson";

pub(super) struct Served {
    pub answers: Arc<dyn Answers>,
    pub token: Token,
}

pub(super) async fn answer<B>(served: Arc<Served>, request: Request<B>) -> Response<Full<Bytes>>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut response = route(served, request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn route<B>(served: Arc<Served>, request: Request<B>) -> Response<Full<Bytes>>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    if !host.is_some_and(is_loopback) {
        return plain(StatusCode::MISDIRECTED_REQUEST, "this answers to localhost and 127.0.0.1 alone\n");
    }
    let path = request.uri().path();
    let wanted = if path == "/ask" { Method::POST } else { Method::GET };
    let resource = RESOURCES.iter().find(|resource| resource.path == path);
    if resource.is_none() && !matches!(path, "/ask" | "/meanings.json") {
        return plain(StatusCode::NOT_FOUND, "there is nothing here; the page is /\n");
    }
    if *request.method() != wanted {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, format!("only {wanted}\n"));
        let allowed = if wanted == Method::POST { "POST" } else { "GET" };
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
        return response;
    }
    match resource {
        Some(resource) => respond(StatusCode::OK, resource.kind, resource.text),
        None if path == "/ask" => data(served, request).await,
        None => respond(StatusCode::OK, "application/json", meanings()),
    }
}

async fn data<B>(served: Arc<Served>, request: Request<B>) -> Response<Full<Bytes>>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if !request.headers().get(TOKEN).is_some_and(|token| served.token.is(token.as_bytes())) {
        let why = "this is not the address that `observer ui` printed: open that, with what follows its #\n";
        return plain(StatusCode::FORBIDDEN, why);
    }
    let limit = usize::try_from(MAX_REQUEST).unwrap_or(usize::MAX);
    let Ok(body) = Limited::new(request.into_body(), limit).collect().await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE, "the request is longer than 64 KiB, or broke off\n");
    };
    let wanted: Ask = match serde_json::from_slice(&body.to_bytes()) {
        Ok(wanted) => wanted,
        Err(error) => return plain(StatusCode::BAD_REQUEST, format!("not a request: {error}\n")),
    };
    // Whom it asks may take seconds: not on the thread that serves others.
    match tokio::task::spawn_blocking(move || ask(&*served.answers, wanted)).await {
        Ok(Ok(answered)) => {
            let mut response = respond(StatusCode::OK, LINES, answered.lines);
            if let Ok(silent) = HeaderValue::from_str(&answered.silent.join(","))
                && !silent.is_empty()
            {
                response.headers_mut().insert(SILENT, silent);
            }
            response
        }
        Ok(Err(error)) => plain(StatusCode::BAD_GATEWAY, one_line(&error.to_string()) + "\n"),
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be made\n"),
    }
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
