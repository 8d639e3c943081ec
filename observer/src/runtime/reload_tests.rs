use std::sync::Mutex;

use super::*;
use crate::cli::RunArgs;
use crate::sink::BuildInfo;

fn text(content: &str) -> Content {
    Ok(content.to_owned())
}

#[test]
fn a_change_counts_once_two_looks_found_it() {
    let mut watched = Watched::new("a".to_owned());
    assert_eq!(watched.look(text("a")), None);
    assert_eq!(watched.look(text("b")), None);
    assert_eq!(watched.look(text("b")), Some(text("b")));
    assert_eq!(watched.look(text("b")), None, "it is known now");
}

#[test]
fn a_file_that_is_being_written_is_waited_for() {
    let mut watched = Watched::new("udp_idle: 60\n".to_owned());
    for half in ["", "udp_idle: 1", "udp_idle: 12"] {
        assert_eq!(watched.look(text(half)), None);
    }
    assert_eq!(watched.look(text("udp_idle: 120\n")), None);
    assert_eq!(watched.look(text("udp_idle: 120\n")), Some(text("udp_idle: 120\n")));
}

#[test]
fn a_file_that_vanishes_is_told_once_and_its_return_too() {
    let mut watched = Watched::new("a".to_owned());
    let gone = || Err("cannot read it".to_owned());
    assert_eq!((watched.look(gone()), watched.look(gone())), (None, Some(gone())));
    assert_eq!(watched.look(gone()), None);
    assert_eq!((watched.look(text("a")), watched.look(text("a"))), (None, Some(text("a"))));
}

struct Scene {
    reload: Reload,
    send: Sender<Reading>,
    metrics: Arc<Metrics>,
    levels: Arc<Mutex<Vec<LogLevel>>>,
}

fn settings(yaml: &str) -> Result<RunSettings, String> {
    let args = RunArgs { node_name: Some("n1".into()), config: Some("/c.yaml".into()), ..RunArgs::default() };
    Source { args, text: Some(yaml.to_owned()) }.settings().map_err(|error| error.to_string())
}

impl Scene {
    fn new(yaml: &str) -> Self {
        let metrics = Arc::new(Metrics::new(5_000, BuildInfo { version: "0", revision: None }));
        let levels = Arc::new(Mutex::new(Vec::new()));
        let (send, receive) = channel(1);
        let told = levels.clone();
        let set_log_level = Box::new(move |level| told.lock().unwrap().push(level));
        let reload = Reload::new(settings(yaml).unwrap(), Some(receive), set_log_level, metrics.clone());
        Self { reload, send, metrics, levels }
    }

    /// What takes effect at second `at`, when the file becomes `yaml`.
    fn becomes(&mut self, yaml: &str, at: u64) -> Option<RunSettings> {
        assert!(self.send.try_send(settings(yaml).map(Box::new)).is_ok());
        self.reload.take(Timestamp::from_seconds(at)).cloned()
    }

    /// Whether the last reload was successful, and when the last successful one was.
    fn told(&self) -> (f64, f64) {
        let exposition = self.metrics.openmetrics();
        let value = |name: &str| {
            let line = exposition.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().trim().parse().unwrap()
        };
        let time = "observer_config_last_reload_success_timestamp_seconds ";
        (value("observer_config_last_reload_successful "), value(time))
    }
}

#[test]
fn a_bad_file_keeps_what_was_in_force_and_the_metrics_say_so_until_it_is_mended() {
    let mut scene = Scene::new("udp_idle: 60");
    let (successful, started) = scene.told();
    assert!((successful - 1.0).abs() < f64::EPSILON && started > 1.0e9);
    let (later, bad) = (4_000_000_000, "udp_idle: never");
    assert_eq!(scene.becomes(bad, later), None);
    assert_eq!(scene.told(), (0.0, started));
    let now = scene.becomes("udp_idle: 90", later + 1).unwrap();
    assert_eq!(now.udp_idle, Duration::from_secs(90));
    assert_eq!(scene.told(), (1.0, 4_000_000_001.0));
    assert_eq!(scene.becomes(bad, later + 2), None);
    assert_eq!(scene.becomes("udp_idle: 90", later + 3), None, "nothing is new");
    assert_eq!(scene.told(), (1.0, 4_000_000_003.0));
}

#[test]
fn what_needs_a_restart_is_not_taken_over_and_the_rest_is() {
    let mut scene = Scene::new("{}");
    let before = scene.told();
    let now = scene.becomes("series_budget: 2000\nflow_rate: 5", 4_000_000_000).unwrap();
    assert_eq!((now.series_budget, now.flow_rate), (50_000, 5));
    assert_eq!(scene.told(), (0.0, before.1), "not all of the file is in force");
    assert_eq!(scene.becomes("flow_rate: 5", 4_000_000_001), None);
    assert_eq!(scene.told(), (1.0, 4_000_000_001.0), "what needed a restart was taken back");
}

#[test]
fn the_log_level_changes_with_the_file() {
    let mut scene = Scene::new("{}");
    scene.becomes("log_level: debug", 1);
    scene.becomes("log_level: debug\nudp_idle: 5", 2);
    assert_eq!(*scene.levels.lock().unwrap(), [LogLevel::Debug]);
}
