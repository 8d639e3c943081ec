//! Connections that begin in clear and may become encrypted.

use anyhow::Result;
use observer_harness::Process;
use observer_integration::servers::python;

use crate::row::{Row, row};
use crate::scene::{At, path};

/// Speaks the clear part of a protocol, and upgrades where it may.
const SERVER: &str = include_str!("../upgrades.py");

fn dialect(at: &At<'_>, dialect: &str, port: u16, offer: &str) -> Result<Process> {
    let (certificate, key) = (path(&at.certificate.certificate)?, path(&at.certificate.key)?);
    let line = python(SERVER, &[dialect, &port.to_string(), certificate, key, offer]);
    at.serve_in(&at.server, port, &line.iter().map(String::as_str).collect::<Vec<_>>())
}

/// What `openssl s_client -starttls` and the server call it, and tshark.
fn starttls(name: &'static str, decode: &'static str) -> Row {
    row(format!("{name} to TLS"), &format!("s_client -starttls {name}"), "python")
        .dialect(decode)
        .does(move |at| {
            let _server = dialect(at, name, at.port, "tls")?;
            at.s_client(&["-starttls", name, "-noservername"]).map(drop)
        })
        .reads(format!("{name} tls 1.3"))
        .finds(&[])
}

fn psql(mode: &'static str, offer: &'static str, expected: &str) -> Row {
    let server = if offer == "tls" { "python, with TLS" } else { "python, without TLS" };
    let findings: &[&str] = if expected.contains("plaintext") { &["unencrypted"] } else { &[] };
    row(format!("sslmode={mode}"), "psql", server)
        .dialect("pgsql")
        .does(move |at| {
            let _server = dialect(at, "postgres", at.port, offer)?;
            at.talk(&["psql", "-w", &target(at, mode), "-c", "select 1"])
        })
        .reads(expected)
        .finds(findings)
}

fn target(at: &At<'_>, mode: &str) -> String {
    format!("host={} port={} user=me dbname=shop sslmode={mode} sslsni=0", at.ip(), at.port)
}

fn mail(at: &At<'_>, options: &[&str]) -> Result<()> {
    let url = format!("smtp://{}/shop", at.to());
    let line = ["curl", "-sS", &url, "--mail-from", "a@shop", "--mail-rcpt", "b@shop", "-T", "/etc/hostname"];
    at.talk(&[&line, options].concat())
}

fn mysql(at: &At<'_>, offer: &str, options: &[&str]) -> Result<()> {
    let _server = dialect(at, "mysql", at.port, offer)?;
    let (host, port) = (at.ip().to_string(), at.port.to_string());
    let line = ["mariadb", "--no-defaults", "-h", &host, "-P", &port, "-u", "me", "-e", "select 1"];
    at.talk(&[&line, options].concat())
}

/// stunnel before a backend in clear, `port` of the same pod.
fn stunnel(at: &At<'_>, name: &str, backend: u16) -> Result<Process> {
    let (certificate, key) = (path(&at.certificate.certificate)?, path(&at.certificate.key)?);
    let config = at.write(
        "stunnel.conf",
        format!(
            "foreground = yes\npid =\ncert = {certificate}\nkey = {key}\n\
             [row]\naccept = 0.0.0.0:{}\nconnect = 127.0.0.1:{backend}\nprotocol = {name}\n",
            at.port
        ),
    )?;
    at.serve(&["stunnel4", path(&config)?])
}

pub fn rows() -> Vec<Row> {
    vec![
        starttls("smtp", "smtp"),
        starttls("imap", "imap"),
        starttls("pop3", "pop"),
        starttls("ftp", "ftp"),
        starttls("ldap", "ldap"),
        starttls("mysql", "mysql"),
        starttls("postgres", "pgsql"),
        psql("require", "tls", "postgres tls 1.3"),
        psql("disable", "clear", "postgres plaintext"),
        psql("prefer", "clear", "postgres plaintext"),
        psql("require", "clear", "postgres unknown upgrade-refused")
            .otherwise("Encryption", "sees no secrets in a question and a no"),
        row("protocol = pgsql", "psql", "stunnel")
            .dialect("pgsql")
            .reads("postgres tls 1.3")
            .finds(&[])
            .does(|at| {
                let backend = at.port + 1000;
                let _servers = (dialect(at, "postgres", backend, "clear")?, stunnel(at, "pgsql", backend)?);
                at.talk(&["psql", "-w", &target(at, "require"), "-c", "select 1"])
            }),
        row("protocol = smtp", "curl --ssl-reqd", "stunnel")
            .dialect("smtp")
            .reads("smtp tls 1.3")
            .finds(&[])
            .does(|at| {
                let backend = at.port + 1000;
                let _servers = (dialect(at, "smtp", backend, "clear")?, stunnel(at, "smtp", backend)?);
                mail(at, &["--ssl-reqd", "-k"])
            }),
        row("mail that could be encrypted and is not", "curl", "python")
            .dialect("smtp")
            .reads("smtp plaintext")
            .finds(&["unencrypted"])
            .does(|at| {
                let _server = dialect(at, "smtp", at.port, "tls")?;
                mail(at, &[])
            }),
        row("mail without an offer", "curl --ssl", "python")
            .dialect("smtp")
            .reads("smtp plaintext")
            .finds(&["unencrypted"])
            .does(|at| {
                let _server = dialect(at, "smtp", at.port, "clear")?;
                mail(at, &["--ssl"])
            }),
        row("mysql in clear", "mariadb", "python")
            .dialect("mysql")
            .does(|at| mysql(at, "clear", &[]))
            .reads("mysql plaintext")
            .finds(&["unencrypted"]),
        row("mysql to TLS", "mariadb --ssl", "python")
            .dialect("mysql")
            .does(|at| mysql(at, "tls", &["--ssl"]))
            .reads("mysql tls 1.3")
            .finds(&[]),
    ]
}
