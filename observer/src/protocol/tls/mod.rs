//! TLS handshakes, as far as they are in clear: the ClientHello says what is asked for, the ServerHello what is agreed,
//! and up to TLS 1.2 the client's certificate says who asks.
//!
//! A handshake counts once both sides went on with encrypted records: until then an alert may still end it, and what
//! was only offered protects nothing.

mod certificate;
mod hello;
mod mesh;
mod records;

pub use mesh::infer_tunnel;

use std::sync::Arc;

use super::Witness;
use super::session::Piece;
use crate::model::{Encryption, EncryptionStatus, Evidence, Mesh, MeshTarget, Protocol};
use hello::{Answer, Offer};
use records::{Half, Sighting, content, message};

/// The alert level of RFC 5246 section 7.2: the sender goes on.
const WARNING: u8 = 1;
/// Except after this one.
const CLOSE_NOTIFY: u8 = 0;

/// Whether the client showed a certificate.
enum Shown {
    /// It cannot be told, or not yet.
    Unknown,
    /// It had its chance and did not.
    Nothing,
    /// With the names in it.
    Certificate(Vec<Arc<str>>),
}

#[derive(Clone, Copy)]
struct Agreed {
    version: u16,
    cipher: u16,
}

/// See the module.
pub struct Tls {
    client: Half,
    server: Half,
    /// What the ClientHello asked for; `None` until it was read.
    offer: Option<Offer>,
    agreed: Option<Agreed>,
    shown: Shown,
    client_went_on: bool,
    server_went_on: bool,
    over: bool,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            client: Half::wanting(&[message::CLIENT_HELLO, message::CERTIFICATE]),
            server: Half::wanting(&[message::SERVER_HELLO]),
            offer: None,
            agreed: None,
            shown: Shown::Unknown,
            client_went_on: false,
            server_went_on: false,
            over: false,
        }
    }
}

impl Tls {
    pub fn push(&mut self, client: bool, piece: Piece<'_>, witness: &mut impl Witness) {
        if self.over {
            return;
        }
        match piece {
            Piece::Gap { len } => {
                if self.half(client).lose(len) {
                    witness.truncated();
                    // Without the hellos nothing is known; the rest can be picked up again.
                    if if client { self.offer.is_none() } else { self.agreed.is_none() } {
                        self.fail("handshake-truncated", witness);
                    }
                }
            }
            Piece::Bytes { mut bytes, turn } => {
                if turn {
                    self.half(client).turn();
                }
                while !self.over
                    && let Some(sighting) = self.half(client).next(&mut bytes)
                {
                    self.sees(client, sighting, witness);
                }
            }
        }
    }

    /// The connection ended.
    pub fn finish(&mut self, witness: &mut impl Witness) {
        if !self.over {
            self.fail("handshake-incomplete", witness);
        }
    }

    pub fn kept(&self) -> usize {
        let offer = self.offer.as_ref().map_or(0, Offer::kept);
        let shown = match &self.shown {
            Shown::Certificate(names) => names.iter().map(|name| name.len()).sum(),
            Shown::Unknown | Shown::Nothing => 0,
        };
        self.client.kept() + self.server.kept() + offer + shown
    }

    pub fn is_over(&self) -> bool {
        self.over
    }

    fn half(&mut self, client: bool) -> &mut Half {
        if client { &mut self.client } else { &mut self.server }
    }

    fn sees(&mut self, client: bool, sighting: Sighting, witness: &mut impl Witness) {
        match sighting {
            Sighting::Broken(reason) => self.malformed(reason, witness),
            Sighting::Alert { level: WARNING, description } if description != CLOSE_NOTIFY => {}
            Sighting::Alert { .. } => self.fail("handshake-failed", witness),
            Sighting::Message(kind) if client => self.sees_client_message(kind, witness),
            Sighting::Message(kind) => self.sees_server_message(kind, witness),
            Sighting::Protected { content, length } => self.sees_protected(client, content, length, witness),
        }
    }

    fn sees_client_message(&mut self, kind: u8, witness: &mut impl Witness) {
        match kind {
            // A second one, after a HelloRetryRequest, asks for the same (RFC 8446 section 4.1.2).
            message::CLIENT_HELLO if self.offer.is_none() => match hello::client_hello(self.client.message())
            {
                Some(offer) => self.offer = Some(offer),
                None => self.malformed("malformed-tls", witness),
            },
            _ if self.offer.is_none() => self.malformed("malformed-tls", witness),
            // Sent only to a server that asked (RFC 5246 section 7.4.6): its request need not have been captured.
            message::CERTIFICATE => {
                if let Some(first) = certificate::first(self.client.message()) {
                    self.shown = Shown::Certificate(certificate::identities(first));
                }
            }
            // It comes after the certificate.
            message::CLIENT_KEY_EXCHANGE if matches!(self.shown, Shown::Unknown) => {
                self.shown = Shown::Nothing;
            }
            _ => {}
        }
    }

    fn sees_server_message(&mut self, kind: u8, witness: &mut impl Witness) {
        match (kind, self.agreed) {
            (message::SERVER_HELLO, None) => match hello::server_hello(self.server.message()) {
                Some(Answer::Retry) => {}
                Some(Answer::Agreed { version, cipher }) => {
                    self.agreed = Some(Agreed { version, cipher });
                    let change_encrypts = !Answer::hides_certificates(version);
                    self.client.change_encrypts = change_encrypts;
                    self.server.change_encrypts = change_encrypts;
                    self.settle(witness);
                }
                None => self.malformed("malformed-tls", witness),
            },
            (_, None) => self.malformed("malformed-tls", witness),
            _ => {}
        }
    }

    fn sees_protected(&mut self, client: bool, content: u8, length: usize, witness: &mut impl Witness) {
        if !client && self.agreed.is_none() {
            return self.malformed("malformed-tls", witness);
        }
        // Early data proves nothing: it is sent blindly (RFC 8446 section 2.3).
        let early = client && self.offer.as_ref().is_some_and(|offer| offer.early_data);
        if early && !self.server_went_on {
            return;
        }
        let went_on = if client { self.client_went_on } else { self.server_went_on };
        let alert = content == content::ALERT
            || self.agreed.is_some_and(|agreed| {
                Answer::hides_certificates(agreed.version) && length == Answer::alert_length(agreed.cipher)
            });
        if alert && !went_on && !early {
            return self.fail("handshake-failed", witness);
        }
        if client {
            self.client_went_on = true;
        } else {
            self.server_went_on = true;
        }
        self.settle(witness);
    }

    /// Says what was agreed, once both sides act on it.
    fn settle(&mut self, witness: &mut impl Witness) {
        let (Some(agreed), true, true) = (self.agreed, self.client_went_on, self.server_went_on) else {
            return;
        };
        let mesh = self.offer.as_ref().and_then(mesh::signature);
        let shown = std::mem::replace(&mut self.shown, Shown::Unknown);
        let mut encryption = self.close();
        encryption.status = EncryptionStatus::Tls;
        encryption.version = hello::version_name(agreed.version).map(Into::into);
        match (shown, mesh) {
            (Shown::Certificate(identities), mesh) => {
                encryption.status = EncryptionStatus::Mtls;
                encryption.evidence = Some(Evidence::Proven);
                encryption.client_identity = identities;
                name_mesh(&mut encryption, mesh);
            }
            (Shown::Unknown, Some(mesh)) => {
                encryption.status = EncryptionStatus::Mtls;
                encryption.evidence = Some(Evidence::Inferred);
                name_mesh(&mut encryption, Some(mesh));
            }
            // A mesh's client that shows nothing is none.
            (Shown::Unknown | Shown::Nothing, _) => {}
        }
        witness.classified(Protocol::Tls, &encryption);
    }

    fn malformed(&mut self, reason: &'static str, witness: &mut impl Witness) {
        witness.malformed(reason);
        self.fail(reason, witness);
    }

    /// Whatever was offered, nothing was agreed.
    fn fail(&mut self, reason: &'static str, witness: &mut impl Witness) {
        let encryption = Encryption { reason: Some(reason.into()), ..self.close() };
        witness.classified(Protocol::Tls, &encryption);
    }

    /// No more is wanted; what was asked for remains.
    fn close(&mut self) -> Encryption {
        self.over = true;
        self.client.clear();
        self.server.clear();
        let Offer { sni, alpn, ech, .. } = self.offer.take().unwrap_or_default();
        Encryption { sni, alpn, ech, ..Encryption::default() }
    }
}

fn name_mesh(encryption: &mut Encryption, mesh: Option<(Mesh, Option<MeshTarget>)>) {
    if let Some((mesh, target)) = mesh {
        encryption.mesh = Some(mesh);
        encryption.mesh_target = target;
    }
}
