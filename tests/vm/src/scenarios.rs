//! What has to be told of each kind of traffic, whatever the kernel.

use anyhow::{Result, ensure};
use observer_integration::servers::authority;
use serde_json::{Value, json};

use crate::datagrams::SIZES;
use crate::report::Report;
use crate::scene::{HTTP, Scene, TLS, UDP, body};

type Scenario = fn(&Scene) -> Result<()>;

const CLIENT: &str = "shop/client";

const ALL: [(&str, Scenario); 8] = [
    ("attached", attached),
    ("http without a credential", http_without),
    ("http with a credential", http_with),
    ("http/2", http2),
    ("tls", tls),
    ("ipv6", ipv6),
    ("refused", refused),
    ("udp", udp),
];

pub fn run(scene: &Scene, report: &mut Report) {
    for (name, scenario) in ALL {
        report.scenario(name, || scenario(scene));
    }
    report.scenario("nothing lost", || nothing_lost(scene));
}

/// Every hook, and the self-test, as the metric tells them.
pub fn attached(scene: &Scene) -> Result<()> {
    for (hook, mode) in [
        ("ingress", "attached"),
        ("egress", "attached"),
        ("sock_ops", "attached"),
        ("walk", "attached"),
        ("self_test", "passed"),
    ] {
        let labels = [&format!("hook=\"{hook}\"")[..], &format!("mode=\"{mode}\"")];
        ensure!(
            scene.daemon.metric("observer_probe_info", &labels)? == 1.0,
            "observer_probe_info does not say that {hook} is {mode}: {}",
            scene.daemon.log()
        );
    }
    Ok(())
}

pub fn http_without(scene: &Scene) -> Result<()> {
    let got = scene.curl(&[&format!("http://{}/index.html", authority(scene.web.ip4, HTTP))])?;
    ensure!(got == body(), "the body was changed on its way");
    let record = scene.daemon.wait_final(CLIENT, "shop/web")?;
    expect(&record, "reporter", &json!("server"))?;
    expect(&record, "close", &json!("fin"))?;
    expect(&record, "client.ip", &json!(scene.client.ip4.to_string()))?;
    expect(&record, "server.port", &json!(HTTP))?;
    expect(&record, "encryption.status", &json!("plaintext"))?;
    expect(&record, "authentication.status", &json!("none"))?;
    expect(&record, "last_request", &json!({"method": "GET", "status": 200}))?;
    expect(&record, "findings", &json!(["unencrypted", "unauthenticated"]))
}

/// Through a Service, whose address only the client's end knows.
fn http_with(scene: &Scene) -> Result<()> {
    let header = scene.token_header(scene.api_audience())?;
    scene.curl(&[
        "-H",
        &header,
        "-o",
        "/dev/null",
        &format!("http://{}/index.html", scene.service.cluster_ip),
    ])?;
    let record = scene.daemon.wait_for("final with a token", |record| {
        record["final"] == true
            && record["authentication"]["status"] != "none"
            && record["server"]["principal"] == "shop/web"
    })?;
    expect(&record, "server.service", &json!("web"))?;
    expect(&record, "authentication.status", &json!("verified"))?;
    expect(&record, "authentication.token.service_account", &json!(CLIENT))?;
    expect(&record, "findings", &json!(["unencrypted", "credential-in-cleartext", "api-audience-token"]))
}

/// Three requests of one connection: the kernel walks over the frames.
fn http2(scene: &Scene) -> Result<()> {
    let url = format!("http://{}/index.html", authority(scene.web2.ip4, HTTP));
    let header = format!("authorization: Bearer {}", scene.token("shop")?);
    scene.client.run_ok(["nghttp", "--null-out", "-m", "3", "-H", &header, &url])?;
    let record = scene.daemon.wait_final(CLIENT, "shop/web2")?;
    expect(&record, "protocol", &json!("http/2"))?;
    expect(&record, "requests.total", &json!(3))?;
    expect(&record, "requests.verified", &json!(3))
}

fn tls(scene: &Scene) -> Result<()> {
    let address = authority(scene.secure.ip4, TLS);
    let resolve = format!("secure.shop.svc:{TLS}:{}", scene.secure.ip4);
    scene.curl(&[
        "-k",
        "-o",
        "/dev/null",
        "--resolve",
        &resolve,
        &format!("https://secure.shop.svc:{TLS}/"),
    ])?;
    let record = scene.daemon.wait_final(CLIENT, "shop/secure")?;
    ensure!(address.ends_with(&record["server"]["port"].to_string()), "{record}");
    expect(&record, "encryption.status", &json!("tls"))?;
    expect(&record, "encryption.version", &json!("1.3"))?;
    expect(&record, "encryption.sni", &json!("secure.shop.svc"))?;
    expect(&record, "authentication.status", &json!("unknown"))?;
    expect(&record, "findings", &json!([]))
}

fn ipv6(scene: &Scene) -> Result<()> {
    let got = scene.curl(&["-g", &format!("http://{}/index.html", authority(scene.web6.ip6, HTTP))])?;
    ensure!(got == body(), "the body was changed on its way");
    let record = scene.daemon.wait_final(CLIENT, "shop/web6")?;
    expect(&record, "client.ip", &json!(scene.client.ip6.to_string()))?;
    expect(&record, "server.ip", &json!(scene.web6.ip6.to_string()))?;
    expect(&record, "findings", &json!(["unencrypted", "unauthenticated"]))
}

fn refused(scene: &Scene) -> Result<()> {
    let output =
        scene.client.run(["curl", "-sS", &format!("http://{}/", authority(scene.idle.ip4, HTTP))])?;
    // curl(1): 7 is a failure to connect.
    ensure!(output.status.code() == Some(7), "{output:?}");
    let record = scene.daemon.wait_final(CLIENT, "shop/idle")?;
    expect(&record, "reporter", &json!("client"))?;
    expect(&record, "close", &json!("refused"))?;
    expect(&record, "findings", &json!([]))
}

fn udp(scene: &Scene) -> Result<()> {
    let (address, port) = (scene.echo.ip4.to_string(), UDP.to_string());
    scene.client.run_ok(["vm-scenarios", "talk", &address, &port])?;
    let record = scene.daemon.wait_final(CLIENT, "shop/echo")?;
    let bytes: usize = SIZES.iter().sum();
    expect(&record, "transport", &json!("udp"))?;
    expect(&record, "server.port", &json!(UDP))?;
    expect(&record, "bytes_sent", &json!(bytes))?;
    expect(&record, "bytes_received", &json!(bytes))
}

fn nothing_lost(scene: &Scene) -> Result<()> {
    let lost = scene.daemon.metric("observer_lost_events_total", &[])?;
    ensure!(lost == 0.0, "{lost} events were lost");
    Ok(())
}

/// One value of a record, by the keys that lead to it.
fn expect(record: &Value, keys: &str, value: &Value) -> Result<()> {
    let found = keys.split('.').fold(record, |value, key| &value[key]);
    ensure!(found == value, "{keys} is {found}, not {value}: {record}");
    Ok(())
}
