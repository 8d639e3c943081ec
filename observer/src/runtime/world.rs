//! What a flow has shown, weighed against who its ends are and what was declared.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::ends::{Ends, Resolver, may_become_known, server_reports};
use super::interest::tell_kernel;
use super::late::{ADDRESS_WAIT, Place};
use super::pipeline::Command;
use super::provenance::Received;
use super::record::record;
use super::routine::Routine;
use super::session::{Awaited, Facts, Outcome, Session};
use super::situation::{situation, worsen};
use crate::conntrack::{Flow, Role, Stage};
use crate::graph::{Evaluation, Graph, HttpFacts, Query};
use crate::model::{
    Authentication, AuthenticationStatus, DeclarationStatus, Encryption, EncryptionStatus, FindingKind,
    Identity, LastRequest, Protocol, Timestamp,
};
use crate::posture::{Seen, TokenSeen};
use crate::protocol;
use crate::sink::Sinks;
use crate::verdict::{self, Exemptions, RequestFacts, Verdict};

/// Everything a flow is weighed against, and where the outcome goes.
pub struct World {
    pub resolver: Resolver,
    pub graph: Arc<Graph>,
    pub exemptions: Exemptions,
    pub received: Received,
    pub seen: Seen,
    pub sinks: Arc<Sinks>,
    pub node: Arc<str>,
    /// How long a flow waits for news of who its ends are. Zero where no news can come.
    pub identity_wait: Duration,
    /// Memory for requests that wait to be weighed: it passes from flow to flow.
    pub spare: Vec<Outcome>,
    /// Counts up whenever what flows are weighed against changes.
    pub generation: u64,
    /// Live flows that have something new to be written: those that end before their turn comes get one record.
    pub unwritten: Vec<Place>,
}

/// Requests of one flow that wait for its identity; then it is weighed without.
const MAX_WAITING_REQUESTS: usize = 16;

impl World {
    pub fn keeps_paths(&self) -> bool {
        self.graph.has_http_rules() || self.exemptions.wants_paths()
    }

    /// `None`: it is not known yet.
    pub fn is_reported_elsewhere(&mut self, flow: &Flow<Session>, now: Timestamp) -> Option<bool> {
        if flow.role == Role::Server {
            return Some(false);
        }
        let ends = self.resolver.ends(flow);
        let to_api_server = ends.may_be_to_api_server();
        let wait_for_client = to_api_server && may_become_known(&ends.client);
        if (wait_for_client || may_become_known(&ends.server)) && now < self.identity_due(flow) {
            return None;
        }
        if to_api_server {
            self.seen.called_api_server(&ends.client, now);
        }
        Some(server_reports(&ends.server, ends.service.is_some()))
    }

    /// Until when a flow may wait for news of who its ends are.
    pub fn identity_due(&self, flow: &Flow<Session>) -> Timestamp {
        flow.opened + self.identity_wait
    }

    /// Draws the conclusions from what a flow has shown since it was last weighed. Not while it waits for news of who
    /// its ends are: then [`Facts::identity`] says so.
    pub fn weigh(&mut self, flow: &mut Flow<Session>, commands: &mut VecDeque<Command>, now: Timestamp) {
        tell_kernel(flow, commands);
        let facts = &flow.session.facts;
        if facts.pending.is_empty() && !facts.reclassified && (!facts.classified || facts.counted.settled) {
            return;
        }
        let Some(ends) = self.resolve(flow, now) else { return };
        if Routine::covers(&flow.session.facts, self.generation, flow.last_seen) {
            self.count_routine(flow, &ends);
            return;
        }
        infer_tunnel(&mut flow.session.facts, &ends);
        let (first_time, mut pending) = {
            let facts = &mut flow.session.facts;
            facts.routine = None;
            (facts.classified && facts.declaration.is_none(), std::mem::take(&mut facts.pending))
        };
        let evaluation = self.evaluate(&ends, flow.session.facts.encryption.status, None, flow.last_seen);
        if first_time {
            flow.session.facts.declaration = Some(evaluation.declaration.clone());
        }
        for outcome in pending.drain(..) {
            self.weigh_request(flow, outcome, &evaluation);
        }
        self.spare = pending;
        if flow.session.facts.classified {
            let facts = &flow.session.facts;
            let declared = facts.declaration.as_ref().map_or(DeclarationStatus::Ungoverned, |d| d.status);
            let encryption = Encryption { link: ends.link, ..Encryption::clone(&facts.encryption) };
            let situation =
                situation(&ends, facts.protocol, &encryption, declared, &evaluation, flow.last_seen);
            let verdict = verdict::of_flow(&situation, &self.exemptions);
            self.take_verdict(&mut flow.session.facts, verdict);
        }
        if flow.stage == Stage::Reporting {
            self.report(flow);
        }
    }

    /// Requests that show nothing new.
    fn count_routine(&mut self, flow: &mut Flow<Session>, ends: &Ends) {
        let facts = &mut flow.session.facts;
        let mut pending = std::mem::take(&mut facts.pending);
        for outcome in pending.drain(..) {
            if let (Role::Server, Some(token), Identity::Pod(receiver)) =
                (flow.role, outcome.judgement.fingerprint, &ends.server)
            {
                self.received.token(token, receiver);
            }
            facts.requests.count(outcome.judgement.authentication.status, outcome.times);
            facts.last_request.get_or_insert_default().method = outcome.method;
        }
        self.spare = pending;
        if flow.stage == Stage::Reporting {
            self.report(flow);
        }
    }

    /// The flow's ends, or nothing as long as they are worth waiting for.
    fn resolve(&mut self, flow: &mut Flow<Session>, now: Timestamp) -> Option<Arc<Ends>> {
        if let Some(ends) = &flow.session.facts.ends {
            return Some(ends.clone());
        }
        let ends = self.resolver.ends(flow);
        let due = self.identity_due(flow);
        let settled = flow.opened + ADDRESS_WAIT.min(self.identity_wait);
        let facts = &mut flow.session.facts;
        let late = !self.identity_wait.is_zero() && ends.may_become_known();
        let waits = (late && now < due) || (ends.by_address_alone && now < settled);
        if waits && facts.pending.len() < MAX_WAITING_REQUESTS {
            facts.identity = Awaited::Before;
            self.note_received(flow, &ends);
            return None;
        }
        facts.identity = if late { Awaited::Since } else { Awaited::No };
        facts.edge = Some(self.sinks.metrics.edge(&ends.edge));
        // Whoever calls from another node is that one's observer's to judge.
        let from_here = flow.role == Role::Client || flow.twin.is_some();
        if from_here && ends.may_be_to_api_server() {
            self.seen.called_api_server(&ends.client, now);
        }
        let ends = Arc::new(ends);
        facts.ends = Some(ends.clone());
        Some(ends)
    }

    /// What a pod received it can pass on, whoever sent it: that is noted before the sender is known.
    fn note_received(&mut self, flow: &Flow<Session>, ends: &Ends) {
        if flow.role != Role::Server {
            return;
        }
        let facts = &flow.session.facts;
        let Identity::Pod(receiver) = &ends.server else {
            if !facts.pending.is_empty() {
                self.received.lost();
            }
            return;
        };
        for outcome in &facts.pending {
            let others = outcome.others.iter().copied();
            for token in outcome.judgement.fingerprint.into_iter().chain(others) {
                self.received.token(token, receiver);
            }
            if outcome.judgement.authentication.status == AuthenticationStatus::Unknown {
                self.received.unclear(receiver);
            }
        }
        if facts.classified && !seen_in_clear(facts) {
            self.received.unclear(receiver);
        }
    }

    /// Looks again who the ends of a flow are that was weighed without knowing it. What was counted stays counted
    /// where it was; what comes from now on counts for who it is. Answers whether there is nothing more to wait for.
    pub fn correct(&mut self, flow: &mut Flow<Session>, commands: &mut VecDeque<Command>) -> bool {
        if flow.session.facts.identity != Awaited::Since {
            return true;
        }
        let ends = self.resolver.ends(flow);
        if ends.may_become_known() {
            return false;
        }
        let evaluation = self.evaluate(&ends, flow.session.facts.encryption.status, None, flow.last_seen);
        let facts = &mut flow.session.facts;
        facts.routine = None;
        facts.identity = Awaited::No;
        facts.edge = Some(self.sinks.metrics.edge(&ends.edge));
        // Its server's own observer counts it, if it has heard of the client in time.
        if flow.role == Role::Client && server_reports(&ends.server, ends.service.is_some()) {
            facts.shown_only = true;
            commands.push_back(Command::Stop(flow.cookie));
        }
        if facts.classified {
            facts.declaration = Some(evaluation.declaration.clone());
            let declared = evaluation.declaration.status;
            let encryption = Encryption { link: ends.link, ..Encryption::clone(&facts.encryption) };
            let situation =
                situation(&ends, facts.protocol, &encryption, declared, &evaluation, flow.last_seen);
            let verdict = verdict::of_flow(&situation, &self.exemptions);
            self.take_verdict(facts, verdict);
        }
        if ends.may_be_to_api_server() && (flow.role == Role::Client || flow.twin.is_some()) {
            self.seen.called_api_server(&ends.client, flow.last_seen);
        }
        let facts = &mut flow.session.facts;
        facts.ends = Some(Arc::new(ends));
        facts.written = None;
        if flow.stage == Stage::Reporting {
            self.report(flow);
        }
        true
    }

    fn evaluate(
        &self,
        ends: &Ends,
        encryption: EncryptionStatus,
        request: Option<(HttpFacts<'_>, &Authentication)>,
        now: Timestamp,
    ) -> Evaluation {
        let query = Query {
            client: &ends.client,
            client_ip: ends.client_address.ip,
            server: &ends.server,
            server_ip: ends.server_address.ip,
            port: ends.server_address.port,
            transport: ends.edge.transport,
            encryption,
            http: request.map(|(facts, _)| facts),
            authentication: request.map(|(_, authentication)| authentication),
            namespaces: &self.resolver.index,
        };
        let exceptions = self.graph.exceptions(&query, now);
        Evaluation { exceptions, ..self.graph.evaluate(&query) }
    }

    fn weigh_request(&mut self, flow: &mut Flow<Session>, outcome: Outcome, flow_evaluation: &Evaluation) {
        let Some(ends) = flow.session.facts.ends.clone() else { return };
        let like_it = (!self.keeps_paths()).then(|| outcome.clone());
        let Outcome { times, judgement, others, proxy_credential, method, path } = outcome;
        let http = method.as_deref().map(|method| HttpFacts { method, path: path.as_deref() });
        let judged = if self.graph.has_http_rules() && http.is_some() {
            let encryption = flow.session.facts.encryption.status;
            let request = http.map(|http| (http, &judgement.authentication));
            let evaluation = self.evaluate(&ends, encryption, request, flow.last_seen);
            if let Some(declaration) = &mut flow.session.facts.declaration {
                worsen(declaration, &evaluation.declaration);
            }
            Some(evaluation)
        } else {
            None
        };
        let evaluation = judged.as_ref().unwrap_or(flow_evaluation);

        let facts = &mut flow.session.facts;
        let mut authentication = judgement.authentication;
        if let Identity::Pod(sender) = &ends.client
            && verdict::is_somebody_elses(&ends.client, &authentication)
        {
            let provenance = self.received.provenance(judgement.fingerprint, sender);
            authentication.reason = Some(provenance.as_str().into());
        }
        if flow.role == Role::Server {
            match &ends.server {
                Identity::Pod(receiver) => {
                    for token in judgement.fingerprint.into_iter().chain(others) {
                        self.received.token(token, receiver);
                    }
                }
                // Some pod, and which is not known, has this token now.
                Identity::Unknown(_) if judgement.fingerprint.is_some() => self.received.lost(),
                _ => {}
            }
        }
        facts.requests.count(authentication.status, times);
        let status = facts.last_request.as_ref().and_then(|last| last.status);
        facts.last_request = Some(LastRequest { method, status });

        // Its head was read as text: this request went in clear, whatever the flow turned into meanwhile.
        let encryption = if facts.classified && facts.encryption.status == EncryptionStatus::Plaintext {
            Encryption::clone(&facts.encryption)
        } else {
            Encryption { status: EncryptionStatus::Plaintext, ..Encryption::default() }
        };
        let encryption = Encryption { link: ends.link, ..encryption };
        let declared = evaluation.declaration.status;
        let situation = situation(&ends, facts.protocol, &encryption, declared, evaluation, flow.last_seen);
        let request = RequestFacts {
            authentication: &authentication,
            path: path.as_deref(),
            api_audience: judgement.api_audience,
            legacy: judgement.legacy,
            proxy_credential,
        };
        let verdict = verdict::of_request(&situation, &request, &self.exemptions);
        if let Some(token) = &authentication.token
            && let Some(account) = &token.service_account
            && !facts.noted.as_ref().is_some_and(|noted| Arc::ptr_eq(noted, token))
        {
            facts.noted = Some(token.clone());
            let verified = authentication.status == AuthenticationStatus::Verified;
            let seen = TokenSeen {
                legacy: verdict.findings.contains(FindingKind::LegacyToken),
                verified,
                for_api_server: judgement.api_audience,
                in_cleartext: (verified || judgement.legacy)
                    && verdict.findings.contains(FindingKind::CredentialInCleartext),
            };
            if seen.legacy || seen.in_cleartext {
                self.seen.token(account, seen, flow.last_seen);
            }
        }
        let facts = &mut flow.session.facts;
        facts.authentication = Some(authentication);
        let found = verdict.findings;
        self.take_verdict(facts, verdict);
        facts.routine =
            like_it.and_then(|outcome| Routine::of(&outcome, found, self.generation, flow.last_seen));
    }

    fn take_verdict(&self, facts: &mut Facts, verdict: Verdict) {
        facts.findings = facts.findings.union(verdict.findings);
        for (kind, reason) in verdict.exempted {
            if !facts.exempted.contains(kind) {
                facts.exempted.insert(kind);
                if !facts.shown_only {
                    self.sinks.metrics.exempted(kind, &reason);
                }
            }
        }
    }

    /// Brings metrics and records up to date with a flow that speaks for itself.
    fn report(&mut self, flow: &mut Flow<Session>) {
        let Some(ends) = flow.session.facts.ends.clone() else { return };
        let facts = &mut flow.session.facts;
        if !facts.shown_only {
            count_new(facts);
        }
        if !facts.classified {
            return;
        }
        if !facts.counted.settled || facts.reclassified {
            if !facts.counted.settled && !facts.shown_only {
                self.settle(facts, &ends);
            }
            facts.counted.settled = true;
            facts.reclassified = false;
            if flow.role == Role::Server
                && let Identity::Pod(receiver) = &ends.server
                && !seen_in_clear(facts)
            {
                self.received.unclear(receiver);
            }
        }
        if flow.session.facts.requests.unknown > 0
            && flow.role == Role::Server
            && let Identity::Pod(receiver) = &ends.server
        {
            self.received.unclear(receiver);
        }
        // A flow that is over gets one record, its last.
        if flow.closed.is_none() && flow.session.facts.written != Some(flow.session.facts.findings) {
            flow.session.facts.written = Some(flow.session.facts.findings);
            if !std::mem::replace(&mut flow.session.facts.unwritten, true) {
                self.unwritten.push(Place::of(flow));
            }
        }
    }

    /// Writes what is new of a live flow.
    pub fn catch_up(&self, flow: &mut Flow<Session>) {
        flow.session.facts.unwritten = false;
        if let Some(ends) = flow.session.facts.ends.as_ref().filter(|_| flow.closed.is_none()) {
            self.write(flow, ends, false);
        }
    }

    fn settle(&self, facts: &Facts, ends: &Ends) {
        let declaration = facts.declaration.as_ref().map_or(DeclarationStatus::Ungoverned, |d| d.status);
        if let Some(edge) = &facts.edge {
            edge.flow_settled(facts.encryption.status, declaration);
        }
        let metrics = &self.sinks.metrics;
        for identity in [&ends.client, &ends.server] {
            if let Identity::Unknown(reason) = identity {
                metrics.unresolved(reason);
            }
        }
        if let (EncryptionStatus::Unknown, Some(reason)) = (facts.encryption.status, &facts.encryption.reason)
            && let Cow::Borrowed(reason) = reason
        {
            metrics.unresolved(reason);
        }
    }

    /// A flow ended: what only its end tells.
    pub fn conclude(&mut self, flow: &Flow<Session>) {
        let facts = &flow.session.facts;
        let Some(ends) = &facts.ends else { return };
        if !facts.shown_only {
            if let (Some(close), Some(edge)) = (&flow.closed, &facts.edge) {
                let (sent, received) = match flow.role {
                    Role::Client => (close.bytes_sent, close.bytes_received),
                    Role::Server => (close.bytes_received, close.bytes_sent),
                };
                edge.bytes(sent, received);
            }
            if let Some(reason) = facts.malformed {
                self.sinks.metrics.unresolved(reason);
            }
            self.sinks.metrics.truncated(facts.truncated);
        }
        self.write(flow, ends, true);
    }

    fn write(&self, flow: &Flow<Session>, ends: &Ends, last: bool) {
        if let Some(edge) = &flow.session.facts.edge {
            edge.seen(flow.last_seen);
        }
        self.sinks.record(&ends.edge, record(flow, &flow.session.facts, ends, &self.node, last));
    }
}

/// Where it leads to may say what is in it.
fn infer_tunnel(facts: &mut Facts, ends: &Ends) {
    if matches!(facts.encryption.status, EncryptionStatus::Tls | EncryptionStatus::Mtls) {
        let mut encryption = Encryption::clone(&facts.encryption);
        protocol::infer_tunnel(&mut encryption, ends.server_address.port);
        facts.encryption = encryption.into();
    }
}

/// Counts what the metrics have not heard of yet.
fn count_new(facts: &mut Facts) {
    use AuthenticationStatus as Status;
    let Some(edge) = facts.edge.clone() else { return };
    let (now, before) = (facts.requests, facts.counted.requests);
    if now.total != before.total {
        for (status, count) in [
            (Status::None, now.none - before.none),
            (Status::Present, now.present - before.present),
            (Status::Verified, now.verified - before.verified),
            (Status::Invalid, now.invalid - before.invalid),
            (Status::Unknown, now.unknown - before.unknown),
        ] {
            if count > 0 {
                edge.requests(status, count);
            }
        }
        facts.counted.requests = now;
    }
    for kind in facts.findings.without(facts.counted.findings).iter() {
        edge.finding(kind);
    }
    facts.counted.findings = facts.findings;
}

/// Whether a token could not have come in unseen.
fn seen_in_clear(facts: &Facts) -> bool {
    let reason = facts.encryption.reason.as_deref();
    match facts.protocol {
        Protocol::Http10 | Protocol::Http11 | Protocol::Http2 | Protocol::Grpc => true,
        Protocol::Unknown => matches!(reason, Some("no-data" | "not-established")),
        _ => false,
    }
}
