//! What is said to one observer, over whatever leads to its socket.

use futures_util::future::BoxFuture;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

use super::Target;
use crate::sink::query::{Hello, NOT_A_REQUEST, Notice, PROTOCOL_VERSION};

/// The longest line of an answer, in bytes.
const MAX_LINE: u64 = 1024 * 1024;

/// A way to an observer.
pub struct Channel {
    pub input: Box<dyn AsyncWrite + Send + Unpin>,
    pub output: Box<dyn AsyncRead + Send + Unpin>,
    /// What is said where the output ends too soon. Dropping it breaks the channel off.
    pub complaint: BoxFuture<'static, String>,
}

/// Who can open a way to an observer, by running a command beside it.
pub trait Reach: Send + Sync + 'static {
    /// The error is the cause, in one line.
    fn open(
        &self,
        target: &Target,
        command: &[String],
    ) -> impl Future<Output = Result<Channel, String>> + Send;
}

/// One line of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// With its newline.
    Item(String),
    Dropped(u64),
    End(u64),
}

/// An observer that was asked.
pub struct Conversation {
    output: BufReader<Box<dyn AsyncRead + Send + Unpin>>,
    complaint: Option<BoxFuture<'static, String>>,
    version: String,
    /// The observer would take its end for ours.
    _input: Box<dyn AsyncWrite + Send + Unpin>,
}

impl Conversation {
    /// Hears the greeting and asks.
    ///
    /// # Errors
    /// The cause, in one line.
    pub async fn begin(channel: Channel, request: &str) -> Result<Self, String> {
        let Channel { mut input, output, complaint } = channel;
        let mut output = BufReader::new(output);
        let Some(line) = line(&mut output).await? else {
            let why = complaint.await;
            return Err(if why.is_empty() { "it said nothing".to_owned() } else { why });
        };
        let hello: Hello =
            serde_json::from_str(&line).map_err(|_| "what answers there is no observer".to_owned())?;
        if hello.protocol != PROTOCOL_VERSION {
            return Err(format!(
                "its observer is version {} (protocol {}) and this is version {} (protocol {PROTOCOL_VERSION}); use the same for both",
                hello.version,
                hello.protocol,
                env!("CARGO_PKG_VERSION"),
            ));
        }
        let broken = |error: std::io::Error| format!("it cannot be asked: {error}");
        input.write_all(request.as_bytes()).await.map_err(broken)?;
        input.flush().await.map_err(broken)?;
        Ok(Self { output, complaint: Some(complaint), version: hello.version.into_owned(), _input: input })
    }

    /// The next line of the answer; nothing comes after its end.
    ///
    /// # Errors
    /// The cause, in one line.
    pub async fn next(&mut self) -> Result<Said, String> {
        let Some(line) = line(&mut self.output).await? else {
            let why = match self.complaint.take() {
                Some(complaint) => complaint.await,
                None => String::new(),
            };
            return Err(if why.is_empty() {
                "its answer broke off; the log of its observer says why".to_owned()
            } else {
                why
            });
        };
        match serde_json::from_str(&line) {
            Ok(Notice::End(n)) => Ok(Said::End(n)),
            Ok(Notice::Dropped(n)) => Ok(Said::Dropped(n)),
            Ok(Notice::Error(why)) => Err(match why.strip_prefix(NOT_A_REQUEST) {
                Some(what) => format!(
                    "its observer is version {} and does not know all that this one, version {}, asks for ({what}); use the same for both",
                    self.version,
                    env!("CARGO_PKG_VERSION"),
                ),
                None => format!("its observer says: {why}"),
            }),
            Err(_) => Ok(Said::Item(line)),
        }
    }
}

async fn line(output: &mut BufReader<Box<dyn AsyncRead + Send + Unpin>>) -> Result<Option<String>, String> {
    let mut line = Vec::new();
    let read = output.take(MAX_LINE).read_until(b'\n', &mut line).await;
    match read {
        Ok(0) => return Ok(None),
        Ok(_) => {}
        Err(error) => return Err(format!("its answer cannot be read: {error}")),
    }
    if line.last() != Some(&b'\n') {
        return Err("its answer broke off in the middle of a line".to_owned());
    }
    String::from_utf8(line).map(Some).map_err(|_| "its answer is no text".to_owned())
}
