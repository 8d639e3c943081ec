//! The observing thread: it alone touches the probe and the pipeline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::anchor::Anchor;
use super::clock;
use super::declaring::Declared;
use super::hearing::Hearing;
use super::pipeline::{Command, Pipeline};
use super::reload::Reload;
use super::surveyor::Surveyor;
use super::trust::Trust;
use crate::cli::LinkEncryption;
use crate::decode::DecodeError;
use crate::identity::ObjectKind;
use crate::memory;
use crate::model::{Cookie, Event, Timestamp};
use crate::probe::{Canary, Probe};
use crate::protocol;
use crate::sink::health::{Blocker, Heartbeat};
use crate::sink::{Metrics, Sinks};

/// Events of one drain; then time and commands get their turn.
const BATCH: usize = 4096;
/// Between two drains under load, and the longest when nothing happens.
const BUSY_WAIT: Duration = Duration::from_millis(5);
const IDLE_WAIT: Duration = Duration::from_millis(40);
const TICK: Duration = Duration::from_millis(50);
const HOUSEKEEPING: Duration = Duration::from_secs(1);
const SWEEP: Duration = Duration::from_secs(60);
/// The canary's connection never leaves this host: milliseconds are enough.
const CANARY_WAIT: Duration = Duration::from_secs(3);

/// What the thread works with.
pub struct Observation {
    pub probe: Probe,
    pub anchor: Anchor,
    pub pipeline: Pipeline,
    pub metrics: Arc<Metrics>,
    pub heartbeat: Heartbeat,
    pub self_test: Option<SelfTest>,
    /// News of the cluster, where there is an API server.
    pub hearing: Option<Hearing>,
    /// What the cluster's objects declare, where there is an API server.
    pub declared: Option<Declared>,
    pub surveyor: Surveyor,
    pub sinks: Arc<Sinks>,
    pub trust: Trust,
    /// A UDP conversation this long without a datagram is over.
    pub udp_idle: Duration,
    /// How long an edge whose pods are gone keeps its series; zero: for ever.
    pub series_idle: Duration,
    pub reload: Reload,
}

/// A connection that counted requests may have stopped here, or is over.
fn ends_counting(event: &Event<'_>) -> Option<Cookie> {
    match event {
        Event::Payload(payload) if payload.counted || payload.lossy => Some(payload.cookie),
        Event::Close(close) => Some(close.cookie),
        _ => None,
    }
}

/// The canary, and what keeps the daemon from being ready until it was seen: whoever waits for readiness must not
/// take silence for peace.
pub struct SelfTest {
    pub canary: Canary,
    pub blocker: Option<Blocker>,
    pub failed: bool,
}

impl Observation {
    /// Observes until `stop`; drains what is there once more, and drops the probe.
    pub fn run(mut self, stop: &AtomicBool) {
        let start = Instant::now();
        let mut wait = BUSY_WAIT;
        let (mut ticked, mut kept, mut swept, mut reaped) = (start, start, start, start);
        let mut clock = clock::offset();
        loop {
            let stopping = stop.load(Ordering::Relaxed);
            // First who is who, then who does what.
            let heard = self.listen();
            if let Some(graph) = self.declared.as_mut().and_then(Declared::take) {
                self.sinks.board.declare(graph.listing());
                self.pipeline.set_graph(graph);
            }
            let drained = self.drain(clock);
            let now = Instant::now();
            if now - ticked >= TICK {
                ticked = now;
                self.count_repeats();
                self.pipeline.tick(clock::now());
                self.tell_kernel();
                self.trust.keep_up(self.pipeline.verifier());
                self.survey();
                self.take_settings();
                self.heartbeat.beat(clock::now());
            }
            if now - kept >= HOUSEKEEPING {
                kept = now;
                clock = clock::offset();
                self.keep_house(clock);
                memory::wipe_stack();
            }
            if now - swept >= SWEEP {
                swept = now;
                self.pipeline.sweep(clock::now());
            }
            if now - reaped >= SWEEP.min(self.series_idle.max(HOUSEKEEPING)) {
                reaped = now;
                self.reap(clock::now());
            }
            if now - start >= CANARY_WAIT {
                self.miss_canary();
            }
            if stopping {
                self.keep_house(clock);
                self.pipeline.stop_waiting();
                return;
            }
            wait = if drained == 0 && heard == 0 { (wait * 2).min(IDLE_WAIT) } else { BUSY_WAIT };
            if drained < BATCH {
                self.probe.wait(wait);
            }
        }
    }

    fn drain(&mut self, clock: crate::decode::ClockOffset) -> usize {
        let Self { probe, pipeline, metrics, self_test, .. } = self;
        let drained =
            probe.drain(BATCH, clock, |event: Result<Event<'_>, DecodeError>, repeats| match event {
                Ok(event) if self_test.as_mut().is_some_and(|test| test.canary.claims(&event)) => {}
                Ok(event) => {
                    if let Some(cookie) = ends_counting(&event)
                        && let Some(counted) = repeats.of(cookie, event.time())
                    {
                        pipeline.event(Event::Repeats(counted));
                    }
                    pipeline.event(event);
                }
                Err(error) => {
                    tracing::debug!(%error, "undecodable record");
                    metrics.lost("decode", 1);
                    pipeline.lost_evidence();
                    pipeline.seen().missed(clock::now());
                }
            });
        if let Some(test) = self_test
            && test.canary.seen()
            && test.blocker.take().is_some()
        {
            tracing::info!("self-test passed: the canary's connection was seen");
            metrics.probe_info("self_test", "passed");
        }
        self.tell_kernel();
        drained
    }

    fn listen(&mut self) -> usize {
        let Some(hearing) = &mut self.hearing else { return 0 };
        hearing.listen(self.pipeline.index(), &mut self.surveyor.rights, &self.metrics)
    }

    fn tell_kernel(&mut self) {
        while let Some(command) = self.pipeline.next_command() {
            match command {
                Command::Stop(cookie) => self.probe.control().stop(cookie),
                Command::Resume(cookie, direction, sequence) => {
                    self.probe.control().resume_at(cookie, direction, sequence);
                }
                Command::Count { cookie, received, sent } => {
                    self.probe.count(cookie, received, sent, clock::now());
                }
                Command::Frames { cookie, received, sent } => {
                    self.probe.control().frames_at(cookie, received, sent);
                }
            }
        }
    }

    /// What the kernel programs count is looked at by the clock: it costs no record.
    fn count_repeats(&mut self) {
        let now = clock::now();
        for repeats in self.probe.repeats().all(now) {
            self.pipeline.event(Event::Repeats(repeats));
        }
    }

    fn keep_house(&mut self, clock: crate::decode::ClockOffset) {
        let now = clock::now();
        if self.anchor.has_just_gone() {
            self.miss_anchor();
        }
        match self.probe.counters() {
            Ok(counters) => {
                let mut losses = 0;
                for (counter, total) in counters {
                    losses += total;
                    self.metrics.lost_total(counter.stage(), total);
                    if total > 0 {
                        self.pipeline.lost_evidence();
                    }
                }
                self.pipeline.seen().lost(losses, now);
            }
            Err(error) => tracing::warn!(%error, "the kernel programs' counters cannot be read"),
        }
        for close in self.probe.reap_conversations(clock, |seen| now.since(seen.last) > self.udp_idle) {
            self.pipeline.event(Event::UdpClose(close));
        }
        self.pipeline.make_room();
        self.probe.repeats().retain(|cookie| self.pipeline.knows(cookie), now);
        let refused = self.pipeline.refused_flows();
        self.metrics.lost_total("conntrack", refused);
        self.metrics.lost_total("protocol", protocol::crowded_out());
        if refused > 0 {
            self.pipeline.lost_evidence();
        }
        self.metrics.lost_total("token", self.pipeline.forgotten_sightings());
        self.metrics.open_flows(self.pipeline.open_flows());
        let (active, expired) = self.pipeline.exceptions(now);
        self.metrics.declared_exceptions("active", active);
        self.metrics.declared_exceptions("expired", expired);
        if let Some(hearing) = &mut self.hearing {
            hearing.keep_house(self.pipeline.index(), &self.metrics, now);
        }
        let accounts = [ObjectKind::ServiceAccount, ObjectKind::Pod];
        if let (Some(hearing), Some(declared)) = (&self.hearing, &mut self.declared)
            && hearing.gap(&accounts).is_none()
        {
            let index = self.pipeline.index();
            declared.check_names(&|namespace, name| index.knows_service_account(namespace, name));
        }
    }

    /// Series of workloads that are gone make room for others.
    fn reap(&mut self, now: Timestamp) {
        if self.series_idle.is_zero() {
            return;
        }
        let given_back = self.pipeline.reap(now, self.series_idle);
        if given_back > 0 {
            tracing::debug!(series = given_back, "series of edges that are gone were given back");
        }
    }

    /// Between two events: no flow is judged half by these and half by those.
    fn take_settings(&mut self) {
        let Some(settings) = self.reload.take(clock::now()) else { return };
        self.udp_idle = settings.udp_idle;
        self.series_idle = settings.series_idle;
        self.surveyor.unused_after = settings.token_unused_after;
        if let Some(log) = &self.sinks.flow_log {
            log.set_rate(settings.flow_rate);
        }
        // Requests are read by these settings from now on.
        self.probe.repeats().recall();
        self.pipeline.index().set_ipsec(settings.link_encryption == Some(LinkEncryption::Ipsec));
        self.pipeline.set(
            settings.credential_headers.clone(),
            settings.both_ends,
            super::exemptions(&settings.exemptions),
        );
    }

    /// What is told of posture is made where all that it is made of is.
    fn survey(&mut self) {
        if self.surveyor.is_due(self.sinks.board.is_wanted()) {
            let (index, seen) = self.pipeline.index_and_seen();
            self.surveyor.survey(index, seen, self.hearing.as_ref(), &self.sinks, clock::now());
        }
    }

    /// The kernel has detached the programs.
    fn miss_anchor(&self) {
        for (hook, _) in &self.probe.hooks {
            self.metrics.probe_info(hook, "missing");
        }
        tracing::error!(
            "the cgroup {} was removed: nothing is observed any more; restart with a --cgroup-root that stays",
            self.anchor.path().display()
        );
    }

    /// Blind without an error is the worst that can happen: say it.
    fn miss_canary(&mut self) {
        let Some(test) = &mut self.self_test else { return };
        if test.failed || test.blocker.is_none() {
            return;
        }
        test.failed = true;
        self.metrics.probe_info("self_test", "failed");
        tracing::error!(
            "self-test failed: a connection made for it was not seen; this process may be in a cgroup namespace of \
             its own: mount the host's cgroup hierarchy and name it with --cgroup-root"
        );
    }
}
