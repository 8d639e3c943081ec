//! The composition root: reads what the settings name, puts the stages together, and runs them until told to stop.

mod anchor;
mod clock;
mod declaring;
pub mod ends;
mod hearing;
mod interest;
mod kept;
mod late;
mod ledger;
mod log;
mod namespaces;
mod observe;
pub mod pipeline;
mod provenance;
mod record;
mod reload;
mod routine;
mod senders;
mod session;
mod shared_encryption;
mod situation;
mod standing;
mod surveyor;
mod trust;
mod world;
mod writer;

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::cli::{
    Exemption, GraphSource, KeysAt, LinkEncryption, LogLevel, Output, RunSettings, Seccomp, Source,
};
use crate::cluster::{self, Access, KeySource, Keys, Resource, Watches};
use crate::confine::{self, Forbidden};
use crate::graph::{Declarations, Graph, SourceKind};
use crate::identity::{self, Index, Inventory};
use crate::memory;
use crate::probe::{self, Canary, CgroupRoot, HookState, Probe};
use crate::protocol;
use crate::sink::health::{Heartbeat, Readiness};
use crate::sink::{self, BoundSocket, BuildInfo, FlowLog, Metrics, Sinks, StoreLimits, Style};
use crate::token::{Issuer, Verifier};
use crate::verdict::{self, Exemptions};
use anchor::Anchor;
use ends::Resolver;
use hearing::Hearing;
use observe::{Observation, SelfTest};
use pipeline::Pipeline;
use reload::Reload;
use surveyor::Surveyor;
use trust::Trust;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Observes this node until SIGTERM or SIGINT. `source`: what the settings were made of.
///
/// # Errors
/// Something that the settings name cannot be used, or the kernel refuses the programs.
pub fn run(settings: &RunSettings, source: Source) -> Result<()> {
    let set_log_level = log::to_stderr(settings.log_level);
    memory::guard();
    confine::begin();
    let start = clock::now();
    // Files first: what a typing error breaks should break before anything else happens.
    let read_keys = read_keys(settings)?;
    let node: Arc<str> = Arc::from(settings.node_name.as_str());
    let mut surveyor = Surveyor::new(node.clone(), settings.token_unused_after);
    let index = index(settings, &mut surveyor)?;
    let (declarations, graph) = graph(settings, &index)?;
    let root = match &settings.cgroup_root {
        Some(path) => CgroupRoot::at(path)?,
        None => CgroupRoot::find()?,
    };
    if settings.cgroup_root.is_none() && !root.whole {
        tracing::warn!(path = %root.path.display(), "not the root of the host's cgroup hierarchy: sockets outside are not seen");
    }

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_start(confine::unprivileged)
        .build()?;
    let access = match &settings.inventory {
        Some(_) => None,
        None => Some(runtime.block_on(Access::find())?),
    };
    if settings.seccomp != Seccomp::Allow {
        access.as_ref().map_or(Ok(()), Access::starts_no_program)?;
    }
    // The sockets that tell others of us before the kernel programs, so that a port taken leaves nothing loaded.
    let listener = runtime.block_on(sink::http::bind(settings.listen))?;
    let socket = {
        let _context = runtime.enter();
        BoundSocket::bind(&settings.socket)?
    };

    let revision = option_env!("OBSERVER_REVISION");
    let metrics = Arc::new(Metrics::new(settings.series_budget, BuildInfo { version: VERSION, revision }));
    let readiness = Readiness::default();
    let blocker = readiness.block("self-test");
    let heartbeat = Heartbeat::new(start);

    let hearing = access.as_ref().map(|access| hear(access, &runtime, &readiness, &metrics));
    let declared = access.as_ref().map(|access| {
        let kinds: Vec<SourceKind> = settings.graph_sources.iter().copied().map(source_kind).collect();
        let sources =
            declaring::Sources { access, kinds: &kinds, files: declarations, node: &settings.node_name };
        let blocker = readiness.block("declared graphs");
        declaring::start(sources, metrics.clone(), blocker, runtime.handle())
    });
    let trust = trust(settings, access, read_keys, &runtime);
    let verifier = Verifier::new(trust.issuers(), api_audiences(settings));
    let mut probe = load_probe(settings, &root, &metrics)?;
    let anchor = Anchor::new(&root.path, readiness.clone())
        .with_context(|| format!("cannot look at {}; run as root", root.path.display()))?;
    let self_test = match Canary::fly(&root) {
        Ok(canary) => Some(SelfTest { canary, blocker: Some(blocker), failed: false }),
        Err(error) => {
            tracing::warn!("{error}");
            metrics.probe_info("self_test", "skipped");
            // It was not made, which is no evidence of blindness.
            drop(blocker);
            None
        }
    };
    give_up_privileges(settings, &mut probe)?;

    // Threads that are started from here on have no more than this one has left, and this one no more than maps need.
    let flow_log = confine::without(|| flow_log(settings, &metrics))??;
    let sinks = Arc::new(Sinks::new(metrics.clone(), StoreLimits::default(), flow_log));
    describe(&metrics, &index, &graph);
    sinks.board.begun(start);
    sinks.board.declare(graph.listing());
    let resolver = Resolver::new(index, &root.path, start)
        .with_context(|| format!("cannot read {}; run as root", root.path.display()))?;
    let pipeline_settings = pipeline::Settings {
        node,
        protocol: protocol::Settings {
            head_limit: settings.client_allowance as usize,
            credential_headers: settings.credential_headers.clone(),
        },
        both_ends: settings.both_ends,
        // Nothing more comes from files.
        identity_wait: if settings.inventory.is_some() { Duration::ZERO } else { late::IDENTITY_WAIT },
    };
    let pipeline = Pipeline::new(
        pipeline_settings,
        crate::conntrack::Settings::default(),
        resolver,
        graph,
        exemptions(&settings.exemptions),
        verifier,
        sinks.clone(),
    );
    let observation = Observation {
        probe,
        anchor,
        pipeline,
        metrics: metrics.clone(),
        heartbeat: heartbeat.clone(),
        self_test,
        hearing,
        declared,
        surveyor,
        sinks: sinks.clone(),
        trust,
        udp_idle: settings.udp_idle,
        series_idle: settings.series_idle,
        reload: Reload::start(settings.clone(), source, set_log_level, metrics.clone(), runtime.handle()),
    };
    let stop = Arc::new(AtomicBool::new(false));
    let observing = {
        let stop = stop.clone();
        thread::Builder::new().name("observe".into()).spawn(move || observation.run(&stop))?
    };
    confine::unprivileged();
    tracing::info!(node = settings.node_name, root = %root.path.display(), listen = %settings.listen, "observing");

    let (stop_servers, stopped) = watch::channel(false);
    runtime.block_on(async {
        let shown = sink::http::Shown { metrics: metrics.clone(), readiness, heartbeat };
        let http = tokio::spawn(sink::http::serve(listener, shown, stopped.clone()));
        let api = tokio::spawn(sink::api::serve(
            socket,
            (sinks.feed.clone(), sinks.board.clone()),
            metrics,
            VERSION,
            stopped,
        ));
        wait_for_signal().await;
        let _ = stop_servers.send(true);
        let _ = tokio::join!(http, api);
    });
    stop.store(true, Ordering::Relaxed);
    if observing.join().is_err() {
        anyhow::bail!("the observing thread died; the log says where");
    }
    if let Some(sinks) = Arc::into_inner(sinks) {
        sinks.finish();
    }
    Ok(())
}

/// The issuers' files: a typing error there should stop us, as an issuer's silence should not.
fn read_keys(settings: &RunSettings) -> Result<Vec<Option<(Keys, Issuer)>>> {
    let mut read = Vec::new();
    for issuer in &settings.issuers {
        let KeysAt::File(path) = &issuer.keys else {
            read.push(None);
            continue;
        };
        let jwks = fs::read(path).with_context(|| {
            format!(
                "--jwks {}: cannot be read; name the file with the keys of {}",
                path.display(),
                issuer.issuer
            )
        })?;
        let keys = Keys { issuer: issuer.issuer.clone(), jwks, api_audiences: Vec::new() };
        let (issuer, _) = trust::parse(&keys).map_err(|why| anyhow::anyhow!("{why}")).with_context(|| {
            format!(
                "--jwks {}: not a JSON Web Key Set; `kubectl get --raw /openid/v1/jwks` prints one",
                path.display()
            )
        })?;
        read.push(Some((keys, issuer)));
    }
    Ok(read)
}

/// The cluster's own issuer first, where there is an API server to ask.
fn trust(
    settings: &RunSettings,
    access: Option<Access>,
    read: Vec<Option<(Keys, Issuer)>>,
    runtime: &tokio::runtime::Runtime,
) -> Trust {
    let own = access.map(|access| (KeySource::ApiServer(access), None));
    let others = settings.issuers.iter().zip(read).map(|(issuer, read)| {
        let name = issuer.issuer.clone();
        let source = match &issuer.keys {
            KeysAt::File(path) => KeySource::File { issuer: name, path: path.clone() },
            KeysAt::Server { url, ca } => {
                KeySource::Address { issuer: name, keys: url.clone(), ca: ca.clone() }
            }
        };
        (source, read)
    });
    Trust::start(own.into_iter().chain(others).collect(), api_audiences(settings), runtime.handle())
}

fn api_audiences(settings: &RunSettings) -> Vec<Arc<str>> {
    settings.api_audiences.iter().map(|audience| Arc::from(audience.as_str())).collect()
}

/// Starts to watch the cluster.
fn hear(
    access: &Access,
    runtime: &tokio::runtime::Runtime,
    readiness: &Readiness,
    metrics: &Metrics,
) -> Hearing {
    let watches = Watches::default();
    let (heard, news) = tokio::sync::mpsc::channel(hearing::MAX_WAITING);
    for resource in Resource::all() {
        runtime.spawn(cluster::watch(
            access.client.clone(),
            resource,
            watches.clone(),
            heard.clone(),
            clock::now,
        ));
    }
    tracing::info!(api_server = access.url, "watching the cluster");
    Hearing::new(news, watches, readiness.block("initial list"), metrics)
}

fn index(settings: &RunSettings, surveyor: &mut Surveyor) -> Result<Index> {
    let mut index = Index::new(identity::Settings {
        cluster_cidrs: settings.cluster_cidrs.clone(),
        node_name: Arc::from(settings.node_name.as_str()),
        ipsec: settings.link_encryption == Some(LinkEncryption::Ipsec),
    });
    if let Some(path) = &settings.inventory {
        let inventory = Inventory::read(path)?;
        inventory.apply_to(&mut index, clock::now())?;
        surveyor.read(&inventory).with_context(|| format!("inventory {}", path.display()))?;
        tracing::info!(objects = inventory.len(), "inventory read");
    }
    Ok(index)
}

/// What files declare.
fn graph(settings: &RunSettings, index: &Index) -> Result<(Declarations, Graph)> {
    let mut declarations = Declarations::default();
    for path in &settings.graphs {
        declarations.read(path)?;
    }
    let (graph, mut warnings) = declarations.compile()?;
    if settings.inventory.is_some() {
        warnings.extend(graph.names_nobody(&|namespace, name| index.knows_service_account(namespace, name))?);
    }
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok((declarations, graph))
}

const fn source_kind(source: GraphSource) -> SourceKind {
    match source {
        GraphSource::Servicegraph => SourceKind::ServiceGraph,
        GraphSource::Networkpolicy => SourceKind::NetworkPolicy,
        GraphSource::Cilium => SourceKind::Cilium,
        GraphSource::Istio => SourceKind::Istio,
        GraphSource::Linkerd => SourceKind::Linkerd,
    }
}

fn exemptions(configured: &[Exemption]) -> Exemptions {
    let configured = configured.iter().cloned().map(|exemption| verdict::Exemption {
        kind: exemption.kind,
        client: exemption.client,
        server: exemption.server,
        path_prefix: exemption.path_prefix,
        until: exemption.until,
        reason: Arc::from(exemption.reason),
    });
    Exemptions::new(configured.collect())
}

fn flow_log(settings: &RunSettings, metrics: &Arc<Metrics>) -> Result<Option<FlowLog>> {
    let style = match settings.output {
        Output::None => return Ok(None),
        Output::Json => Style::Json,
        Output::Text => Style::Text { colour: std::io::stdout().is_terminal() },
    };
    let stdout = sink::stdout().context("stdout is closed; use --output none")?;
    let flow_log = FlowLog::start(stdout, style, metrics.clone())?;
    flow_log.set_rate(settings.flow_rate);
    Ok(Some(flow_log))
}

fn load_probe(settings: &RunSettings, root: &CgroupRoot, metrics: &Metrics) -> Result<Probe> {
    let kernel = observer_common::Settings {
        client_allowance: settings.client_allowance,
        ..observer_common::Settings::default()
    };
    let diagnostics = matches!(settings.log_level, LogLevel::Debug | LogLevel::Trace);
    if diagnostics {
        let _ = tracing_log::LogTracer::init();
    }
    let probe =
        Probe::load(root, &probe::Options { settings: kernel, diagnostics, ..probe::Options::default() })?;
    for (hook, state) in &probe.hooks {
        metrics.probe_info(hook, if *state == HookState::Attached { "attached" } else { "missing" });
    }
    Ok(probe)
}

fn give_up_privileges(settings: &RunSettings, probe: &mut Probe) -> Result<()> {
    let kept = confine::needs_capability(move || probe.counters().is_ok());
    let forbidden = match settings.seccomp {
        Seccomp::Refuse => Forbidden::Refuse,
        Seccomp::Kill => Forbidden::Kill,
        Seccomp::Allow => Forbidden::Allow,
    };
    Ok(confine::end(kept, forbidden)?)
}

fn describe(metrics: &Metrics, index: &Index, graph: &Graph) {
    let counts = index.counts();
    for (kind, count) in [("pod", counts.pods), ("service", counts.services), ("node", counts.nodes)] {
        metrics.identities(kind, count);
    }
    metrics.declared_edges("loaded", graph.declared_edges());
    let (active, expired) = graph.count_exceptions(clock::now());
    metrics.declared_exceptions("active", active);
    metrics.declared_exceptions("expired", expired);
}

async fn wait_for_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("no signal can be waited for: stop with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
}
