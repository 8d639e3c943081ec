//! A Prometheus of a test's own: it scrapes, applies the recording rules and answers queries.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use observer_integration::Directory;
use serde_json::Value;

use crate::dashboard::list;
use crate::{repository, yaml};

const RECORDING: &str = "deploy/prometheus/recording.yaml";
const READY_WITHIN: Duration = Duration::from_secs(20);

/// Something to scrape, with labels of its own.
pub struct Scraped<'a> {
    pub job: &'a str,
    pub address: SocketAddr,
    pub labels: &'a [(&'a str, &'a str)],
}

/// A series of an answer: its labels, and whether any of its samples is a number.
#[derive(Clone, Debug)]
pub struct Series {
    pub labels: BTreeMap<String, String>,
    /// The last one.
    pub value: f64,
    pub has_numbers: bool,
}

/// Killed when dropped, and when the thread that started it ends.
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    directory: Directory,
}

impl Prometheus {
    /// Starts it with the repository's recording rules; it scrapes and evaluates every second.
    ///
    /// # Errors
    /// It is not installed, refuses the rules, or does not become ready.
    pub fn start(scraped: &[Scraped<'_>]) -> Result<Self> {
        let directory = Directory::new()?;
        let rules = fs::read_to_string(repository(RECORDING)).context(RECORDING)?;
        ensure!(rules.contains("    interval: 30s\n"), "{RECORDING} has another interval: {rules}");
        let rules =
            directory.write("recording.yaml", rules.replace("    interval: 30s\n", "    interval: 1s\n"))?;
        let mut config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
             rule_files: ['{}']\n\
             scrape_configs:\n",
            rules.display()
        );
        for Scraped { job, address, labels } in scraped {
            let labels: Vec<String> =
                labels.iter().map(|(name, value)| format!("{name}: '{value}'")).collect();
            writeln!(
                config,
                "  - {{job_name: {job}, static_configs: [{{targets: ['{address}'], labels: {{{}}}}}]}}",
                labels.join(", ")
            )?;
        }
        let config = directory.write("prometheus.yml", config)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        // Should the test be killed, nobody else would end it.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "prometheus", "--log.level=warn"]);
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()));
        command.arg(format!("--web.listen-address={address}"));
        let log = fs::File::create(directory.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().context("setpriv does not start")?;
        let mut prometheus = Self { child, address, directory };
        prometheus.wait_ready()?;
        Ok(prometheus)
    }

    fn wait_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while !self.get("/-/ready").is_ok_and(|answer| answer.starts_with("HTTP/1.0 200")) {
            if let Some(status) = self.child.try_wait()? {
                bail!("prometheus ended with {status}; `cargo xtask setup` installs it:\n{}", self.log());
            }
            ensure!(Instant::now() < deadline, "prometheus is not ready:\n{}", self.log());
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Where it serves its API.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// HTTP/1.0, so that the answer comes in one piece.
    fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: test\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// The `data` of an answer of its API.
    fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value> {
        let parameters: Vec<String> =
            parameters.iter().map(|(name, value)| format!("{name}={}", percent(value))).collect();
        let answer = self.get(&format!("/api/v1/{path}?{}", parameters.join("&")))?;
        let (_, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
        let mut answer: Value = serde_json::from_str(body).with_context(|| body.to_owned())?;
        ensure!(answer["status"] == "success", "{}: {}", answer["errorType"], answer["error"]);
        Ok(answer["data"].take())
    }

    /// An instant query.
    ///
    /// # Errors
    /// Prometheus refuses it.
    pub fn query(&self, expression: &str, at: f64) -> Result<Vec<Series>> {
        let data = self.ask("query", &[("query", expression), ("time", &at.to_string())])?;
        ensure!(data["resultType"] == "vector", "the answer is a {}", data["resultType"]);
        series(&data)
    }

    /// A range query.
    ///
    /// # Errors
    /// Prometheus refuses it.
    pub fn query_range(&self, expression: &str, from: f64, to: f64, step: u32) -> Result<Vec<Series>> {
        let (from, to, step) = (from.to_string(), to.to_string(), step.to_string());
        let parameters = [("query", expression), ("start", &*from), ("end", &*to), ("step", &*step)];
        series(&self.ask("query_range", &parameters)?)
    }

    /// The values of a label, of the series that `selector` chooses.
    ///
    /// # Errors
    /// Prometheus refuses it.
    pub fn label_values(
        &self,
        selector: Option<&str>,
        label: &str,
        from: f64,
        to: f64,
    ) -> Result<Vec<String>> {
        let (from, to) = (from.to_string(), to.to_string());
        let mut parameters = vec![("start", &*from), ("end", &*to)];
        parameters.extend(selector.map(|selector| ("match[]", selector)));
        let data = self.ask(&format!("label/{label}/values"), &parameters)?;
        let values = data.as_array().context("no list of values")?;
        Ok(values.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// Waits until each of these rules has recorded something.
    ///
    /// # Errors
    /// One has not within a quarter of a minute.
    pub fn wait_recorded(&self, rules: &[&str]) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            let mut missing = Vec::new();
            for rule in rules {
                if !self.query(rule, now()?)?.iter().any(|series| series.has_numbers) {
                    missing.push(rule);
                }
            }
            if missing.is_empty() {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "nothing recorded by {missing:?}\n{}", self.log());
            thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Seconds since 1970.
///
/// # Errors
/// The clock stands before that.
pub fn now() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}

/// What the rules record that the dashboards need.
///
/// # Errors
/// They cannot be read.
pub fn recorded() -> Result<Vec<String>> {
    let file = yaml(RECORDING)?;
    let rules = list(&file["groups"]).iter().flat_map(|group| list(&group["rules"]));
    Ok(rules.filter_map(|rule| rule["record"].as_str()).map(str::to_owned).collect())
}

fn series(data: &Value) -> Result<Vec<Series>> {
    let result = data["result"].as_array().context("no result")?;
    let mut all = Vec::new();
    for one in result {
        let labels = one["metric"].as_object().context("no labels")?;
        let labels =
            labels.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap_or("").to_owned()));
        let samples = one["values"].as_array().cloned().unwrap_or_else(|| vec![one["value"].clone()]);
        let values: Vec<f64> = samples
            .iter()
            .map(|sample| sample[1].as_str().and_then(|text| text.parse().ok()))
            .collect::<Option<_>>()
            .context("no samples")?;
        all.push(Series {
            labels: labels.collect(),
            value: values.last().copied().unwrap_or(f64::NAN),
            has_numbers: values.iter().any(|value| value.is_finite()),
        });
    }
    Ok(all)
}

/// RFC 3986 section 2.1.
pub(crate) fn percent(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
