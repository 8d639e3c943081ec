use std::sync::Mutex;
use std::sync::mpsc;

use super::*;
use crate::sink::fixture::{metrics, record, sample};

fn entry(n: u64) -> Arc<Entry> {
    Arc::new(Entry::new(Arc::new(record(n))))
}

fn lost(metrics: &Metrics) -> Option<f64> {
    sample(metrics, "observer_lost_events_total{stage=\"flow_log\"}")
}

/// Remembers what was written.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_record_is_written_within_a_second_of_its_arrival() {
    let page = Page::default();
    let log = FlowLog::start(page.clone(), Style::Json, Arc::new(metrics())).unwrap();
    log.write(&entry(1));
    let until = Instant::now() + Duration::from_secs(1);
    while page.text().is_empty() {
        assert!(Instant::now() < until, "nothing after a second");
        thread::sleep(Duration::from_millis(10));
    }
    let text = page.text();
    assert!(text.ends_with("}\n") && text.lines().count() == 1, "{text}");
}

#[test]
fn each_record_is_one_object_a_line_with_the_keys_of_the_contract() {
    let page = Page::default();
    let log = FlowLog::start(page.clone(), Style::Json, Arc::new(metrics())).unwrap();
    for n in 0..3 {
        log.write(&entry(n));
    }
    log.finish();
    let text = page.text();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["time"], "2023-11-14T22:13:20.000000Z");
    assert_eq!(lines[0]["client"]["principal"], "shop/orders");
    assert_eq!(lines[0]["final"], true);
    assert_eq!(lines[0]["protocol"], "http/1.1");
}

/// Blocks in `write` until it is let go.
struct Stuck(Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_slow_reader_costs_records_and_they_are_counted_but_nobody_waits() {
    let metrics = Arc::new(metrics());
    let (let_go, held) = mpsc::channel();
    let log = FlowLog::start(Stuck(held), Style::Json, metrics.clone()).unwrap();
    let start = Instant::now();
    let written = 3 * FLOW_LOG_QUEUE as u64;
    let one = entry(1);
    for _ in 0..written {
        log.write(&one);
    }
    assert!(start.elapsed() < Duration::from_secs(2));
    let lost = lost(&metrics).unwrap();
    // The queue and one buffer may be on their way.
    let most = written as f64 - FLOW_LOG_QUEUE as f64;
    let in_buffer = (BUFFER / one.line().len() + 1) as f64;
    assert!(lost <= most && lost >= most - in_buffer, "{lost} of {written}");
    let start = Instant::now();
    log.finish();
    assert!(start.elapsed() < Duration::from_secs(3), "a stuck reader must not hold the daemon");
    drop(let_go);
}

/// Takes some bytes, then fails for a while, then takes all.
struct Failing {
    page: Page,
    first: usize,
    failures: u32,
}

impl Write for Failing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.first > 0 {
            let n = self.first.min(bytes.len());
            self.first -= n;
            return self.page.write(&bytes[..n]);
        }
        if self.failures > 0 {
            self.failures -= 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.page.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_costs_what_was_not_written_and_the_log_goes_on_with_whole_lines() {
    let metrics = Arc::new(metrics());
    let page = Page::default();
    let length = entry(0).line().len();
    // One whole record and a piece of the second arrive; the third is refused as a whole.
    let out = Failing { page: page.clone(), first: length + 10, failures: 2 };
    let mut writer = Writer::new(out, Style::Json, metrics.clone());
    writer.append(&entry(0));
    writer.append(&entry(1));
    writer.flush();
    assert_eq!(lost(&metrics), Some(1.0));
    writer.append(&entry(2));
    writer.flush();
    assert_eq!(lost(&metrics), Some(2.0));
    writer.append(&entry(3));
    writer.flush();
    writer.append(&entry(4));
    writer.flush();
    assert_eq!(lost(&metrics), Some(2.0));
    let text = page.text();
    let whole: Vec<_> =
        text.lines().filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()).collect();
    assert_eq!(text.lines().count(), 4, "{text}");
    assert_eq!(whole.len(), 3, "records 0, 3 and 4: {text}");
}

#[test]
fn a_closed_pipe_is_counted_and_does_not_end_the_daemon() {
    let metrics = Arc::new(metrics());
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let log = FlowLog::start(writer, Style::Json, metrics.clone()).unwrap();
    log.write(&entry(1));
    log.finish();
    assert_eq!(lost(&metrics), Some(1.0));
}

#[test]
fn text_is_a_heading_and_a_line_a_record() {
    let page = Page::default();
    let log = FlowLog::start(page.clone(), Style::Text { colour: false }, Arc::new(metrics())).unwrap();
    log.write(&entry(1));
    log.write(&entry(2));
    log.finish();
    let text = page.text();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.starts_with("TIME "));
}
