//! Request heads that most clients do not send so.

use observer_integration::wire::{Manners, Step};

use crate::row::{Row, http, row};

const BASIC: &str = "Authorization: Basic b25lOjE=";

fn get(headers: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: shop\r\n{headers}\r\n")
}

/// A client that sends one head, and what becomes of it.
fn head(case: &str, head: String, expected: &str) -> Row {
    http(case, "python sockets")
        .does(move |at| at.say(&head))
        .reads(format!("http/1.1 plaintext, 1 request: {expected}"))
}

pub fn rows() -> Vec<Row> {
    let two = format!("{BASIC}\r\nAuthorization: Basic dHdvOjI=\r\n");
    let same = format!("{BASIC}\r\n{BASIC}\r\n");
    vec![
        http("pipelined in one segment", "python sockets")
            .does(|at| {
                let bearer = format!("Authorization: Bearer {}\r\n", at.token);
                let post = "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\nhello";
                let last = "HEAD / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n";
                at.say([&get(""), &get(&bearer), &get(""), post, last].concat())
            })
            .reads("http/1.1 plaintext, 5 requests: 4 none 1 verified, HEAD 200, none"),
        http("in segments of one byte", "python sockets")
            .does(|at| {
                let head = format!("PUT / HTTP/1.1\r\nHost: shop\r\n{BASIC}\r\nContent-Length: 2\r\n\r\nok");
                let bytes = head.as_bytes().chunks(1);
                let steps: Vec<Step<'_>> =
                    bytes.flat_map(|byte| [Step::Send(byte), Step::Pause(1)]).collect();
                at.steps(&steps)
            })
            .reads("http/1.1 plaintext, 1 request: 1 present, PUT 200, present basic"),
        http("a head of 12 KB", "python sockets")
            .does(|at| {
                let padding = "x".repeat(12 * 1024 - at.token.len());
                at.say(get(&format!("X-Padding: {padding}\r\nAuthorization: Bearer {}\r\n", at.token)))
            })
            .reads("http/1.1 plaintext, 1 request: 1 verified, GET 200, verified bearer"),
        http("a header line of a megabyte", "python sockets")
            .does(|at| at.say(get(&format!("X-Long: {}\r\n", "x".repeat(1 << 20)))))
            .reads("http/1.1 plaintext, 1 request: 1 unknown, ? 400, unknown head-too-long")
            .unread_at_times("nginx resets with most of it unread, and what has passed until then varies")
            .otherwise("LastRequest", "keeps a megabyte to read the method"),
        head("bare LF", format!("GET / HTTP/1.1\nHost: x\n{BASIC}\n\n"), "1 present, GET 200, present basic"),
        head("empty lines before the request", format!("\r\n{}", get("")), "1 none, GET 200, none"),
        head("Authorization twice", get(&two), "1 present, GET 400, present duplicate-authorization")
            .otherwise("Credentials", "counts lines"),
        head("Authorization twice, the same", get(&same), "1 present, GET 400, present basic")
            .otherwise("Credentials", "counts lines"),
        row("folded Authorization", "python sockets", "python sockets")
            .dialect("http")
            .does(|at| {
                let _server = at.listen(Manners::Answer)?;
                at.say(get(&format!("Authorization: Bearer\r\n  {}\r\n", at.token)))
            })
            .reads("http/1.1 plaintext, 1 request: 1 verified, GET 200, verified bearer"),
        head(
            "another case, no blank",
            get("aUTHORIZATION:bASIC b25lOjE=\r\n"),
            "1 present, GET 200, present basic",
        ),
        head(
            "Digest",
            get("Authorization: Digest username=\"a\", response=\"b\"\r\n"),
            "1 present, GET 200, present digest",
        ),
        head("an empty Authorization", get("Authorization:\r\n"), "1 none, GET 200, none empty-credential"),
        head("Proxy-Authorization to no proxy", get(&format!("Proxy-{BASIC}\r\n")), "1 none, GET 200, none")
            .otherwise("Credentials", "counts whatever it is for"),
        head(
            "a header that the settings name",
            get("X-API-Key: abracadabra\r\n"),
            "1 present, GET 200, present",
        )
        .otherwise("Credentials", "knows no such setting"),
        head(
            "a header that they do not",
            get("Cookie: session=1\r\nX-Token: 2\r\n"),
            "1 none, GET 200, none",
        ),
        head(
            "absolute-form",
            format!("GET http://shop/ HTTP/1.1\r\nHost: shop\r\n{BASIC}\r\n\r\n"),
            "1 present, GET 200, present basic",
        ),
        head("OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: shop\r\n\r\n".into(), "1 none, OPTIONS 400, none"),
        head(
            "a method of its own",
            "PURGE / HTTP/1.1\r\nHost: shop\r\n\r\n".into(),
            "1 none, PURGE 200, none",
        )
        .unread("knows no such method"),
    ]
}
