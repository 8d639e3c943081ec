//! Against a server that says exactly what a test has it say: what no real API server can be made to say on demand.

use std::sync::{Arc, Mutex};

use kube::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::identity::ObjectKind;

/// What is answered to the requests in their order; then nothing more is accepted.
struct Script {
    answers: Vec<Answer>,
    /// The request lines that came.
    asked: Arc<Mutex<Vec<String>>>,
}

enum Answer {
    /// A status and a body.
    Whole(u16, &'static str),
    /// Lines of a watch that goes on without more.
    Stays(&'static str),
    /// Lines of a watch that then ends.
    Ends(&'static str),
}

const POD: &str =
    r#"{"type":"ADDED","object":{"metadata":{"name":"a","namespace":"x","uid":"u1","resourceVersion":"5"}}}"#;
const END: &str = r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"7","annotations":{"k8s.io/initial-events-end":"true"}}}}"#;

impl Script {
    async fn serve(self, listener: TcpListener) {
        let mut open = Vec::new();
        for answer in self.answers {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let line = request_line(&mut stream).await;
            self.asked.lock().unwrap().push(line);
            let (status, body, length) = match &answer {
                Answer::Whole(status, body) => (*status, *body, Some(body.len())),
                Answer::Stays(body) | Answer::Ends(body) => (200, *body, None),
            };
            let length = length.map(|length| format!("Content-Length: {length}\r\n")).unwrap_or_default();
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\n{length}\r\n"
            );
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(body.as_bytes()).await;
            if let Answer::Ends(_) = answer {
                // A watch that ends at once has failed.
                tokio::time::sleep(TOO_SHORT).await;
            }
            if let Answer::Stays(_) = answer {
                open.push(stream);
            }
        }
        std::future::pending::<()>().await;
    }
}

async fn request_line(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut chunk = [0; 1024];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(length) => bytes.extend_from_slice(&chunk[..length]),
        }
    }
    String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default().to_owned()
}

/// What came of a script: the news up to `wanted`, the requests, the state.
fn follow(answers: Vec<Answer>, wanted: usize) -> (Vec<String>, Vec<String>, WatchState) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut config = Config::new(format!("http://{address}").parse().unwrap());
        config.default_retry = false;
        let client = Client::try_from(config).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(Script { answers, asked: asked.clone() }.serve(listener));
        let (send, mut news) = mpsc::channel(16);
        let watches: Watches = Watches::default();
        let resource = Resource(ObjectKind::Pod);
        tokio::spawn(watch(client, resource, watches.clone(), send, || Timestamp(1)));
        let mut said = Vec::new();
        while said.len() < wanted {
            let heard = tokio::time::timeout(Duration::from_secs(20), news.recv()).await;
            let heard = heard.unwrap_or_else(|_| panic!("only {said:?}")).unwrap();
            said.push(match heard.change {
                Change::Begin => "begin".to_owned(),
                Change::Apply(Object::Pod(pod)) => format!("apply {}", pod.metadata.name.unwrap_or_default()),
                Change::Delete(Object::Pod(pod)) => {
                    format!("delete {}", pod.metadata.uid.unwrap_or_default())
                }
                Change::End => "end".to_owned(),
                Change::Malformed { object, .. } => format!("malformed {object}"),
                Change::Settled => "settled".to_owned(),
                other => panic!("{other:?}"),
            });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let asked = asked.lock().unwrap().clone();
        (said, asked, watches.all().pop().unwrap().1)
    })
}

fn lines(lines: &[&str]) -> &'static str {
    Box::leak(format!("{}\n", lines.join("\n")).into_boxed_str())
}

#[test]
fn a_streamed_list_is_asked_for_and_followed_on() {
    let deleted = r#"{"type":"DELETED","object":{"metadata":{"name":"a","namespace":"x","uid":"u1","resourceVersion":"9"}}}"#;
    let (said, asked, state) = follow(vec![Answer::Stays(lines(&[POD, END, deleted]))], 5);
    assert_eq!(said, ["begin", "apply a", "end", "settled", "delete u1"]);
    assert!(
        asked[0].contains("sendInitialEvents=true") && asked[0].contains("allowWatchBookmarks=true"),
        "{asked:?}"
    );
    assert_eq!(state, WatchState::Up);
}

#[test]
fn a_malformed_object_spoils_no_other_and_is_named() {
    let malformed = r#"{"type":"ADDED","object":{"metadata":{"name":"bad","namespace":"x","resourceVersion":"6"},"status":{"podIPs":7}}}"#;
    let garbage = "garbage";
    let empty = r#"{"type":"MODIFIED","object":{}}"#;
    let (said, _, state) = follow(vec![Answer::Stays(lines(&[malformed, garbage, empty, POD, END]))], 7);
    assert_eq!(
        said,
        [
            "begin",
            "malformed Pod x/bad",
            "malformed Pod without a name",
            "apply ",
            "apply a",
            "end",
            "settled"
        ]
    );
    assert_eq!(state, WatchState::Up);
}

#[test]
fn a_watch_that_ends_goes_on_from_the_version_last_seen() {
    let bookmark = r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"42"}}}"#;
    let (said, asked, state) =
        follow(vec![Answer::Ends(lines(&[POD, END, bookmark])), Answer::Stays(lines(&[POD]))], 5);
    assert_eq!(said, ["begin", "apply a", "end", "settled", "apply a"]);
    assert!(asked[1].contains("resourceVersion=42") && !asked[1].contains("sendInitialEvents"), "{asked:?}");
    assert_eq!(state, WatchState::Up);
}

#[test]
fn a_version_that_is_gone_means_a_new_list() {
    let gone =
        r#"{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old resource version"}}"#;
    let whole = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"too old","reason":"Expired","code":410}"#;
    for refused in [Answer::Stays(lines(&[gone])), Answer::Whole(410, whole)] {
        let answers = vec![Answer::Ends(lines(&[POD, END])), refused, Answer::Stays(lines(&[END]))];
        let (said, asked, _) = follow(answers, 6);
        assert_eq!(said, ["begin", "apply a", "end", "settled", "begin", "end"]);
        assert!(asked[2].contains("sendInitialEvents=true"), "{asked:?}");
    }
}

#[test]
fn a_server_that_does_not_stream_lists_is_asked_for_whole_ones() {
    let refusal = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled","reason":"Invalid","code":422}"#;
    let list = r#"{"metadata":{"resourceVersion":"8"},"items":[{"metadata":{"name":"b","namespace":"x","uid":"u2"}},{"metadata":7}]}"#;
    let answers = vec![Answer::Whole(422, refusal), Answer::Whole(200, list), Answer::Stays(lines(&[POD]))];
    let (said, asked, state) = follow(answers, 6);
    assert_eq!(said, ["begin", "apply b", "malformed Pod without a name", "end", "settled", "apply a"]);
    assert!(asked[1].contains("/api/v1/pods?resourceVersion=0 "), "{asked:?}");
    assert!(asked[2].contains("watch=true") && asked[2].contains("resourceVersion=8"), "{asked:?}");
    assert_eq!(state, WatchState::Up);
}

#[test]
fn what_is_refused_keeps_nobody_waiting() {
    let refusal = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"pods is forbidden","reason":"Forbidden","code":403}"#;
    let (said, _, state) = follow(vec![Answer::Whole(403, refusal)], 1);
    assert_eq!((said, state), (vec!["settled".to_owned()], WatchState::Denied));
}

#[test]
fn a_server_in_trouble_is_asked_again() {
    let answers = vec![
        Answer::Whole(500, "<html>no status</html>"),
        Answer::Whole(200, ""),
        Answer::Stays(lines(&[POD, END])),
    ];
    let (said, asked, state) = follow(answers, 5);
    // The second one began an answer and broke off: what it began is begun anew.
    assert_eq!(said, ["begin", "begin", "apply a", "end", "settled"]);
    assert_eq!((asked.len(), state), (3, WatchState::Up));
}

#[test]
fn a_kind_that_the_cluster_has_no_more_leaves_nobody_behind() {
    let absent = r#"404 page not found"#;
    let answers = vec![Answer::Ends(lines(&[POD, END])), Answer::Whole(404, absent)];
    let (said, _, state) = follow(answers, 6);
    assert_eq!(said, ["begin", "apply a", "end", "settled", "begin", "end"]);
    assert_eq!(state, WatchState::Absent);
}
