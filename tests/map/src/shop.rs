//! A shop whose map has some of everything.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use observer_harness::{Outside, Pod, Process, SimNode};
use observer_integration::servers::{Certificate, s_server};
use observer_integration::wire::{self, Manners, Step};
use observer_integration::{Claims, Daemon, TokenIssuer};

const ISSUER: &str = "https://kubernetes.default.svc";
/// The last two edges are used by nobody.
const GRAPH: &str = "\
apiVersion: observer.dev/v1alpha1
kind: ServiceGraph
metadata: {name: shop, namespace: shop}
spec:
  governs: namespace
  edges:
    - {from: {serviceAccount: frontend, namespace: web}, to: {serviceAccount: orders}, ports: [8080]}
    - {from: {serviceAccount: frontend, namespace: web}, to: {serviceAccount: cart}, ports: [8080], encryption: optional}
    - {from: {serviceAccount: orders}, to: {serviceAccount: payments}, ports: [8443]}
    - {from: {serviceAccount: orders}, to: {serviceAccount: cart}, ports: [8443]}
    - {from: {serviceAccount: cart}, to: {serviceAccount: payments}, ports: [8443]}
    - {from: {serviceAccount: '*', namespace: ops}, to: {serviceAccount: cart}, ports: [9000]}
";

/// See the module.
pub struct Shop {
    pub daemon: Daemon,
    frontend: Pod,
    ledger: Pod,
    _issuer: TokenIssuer,
    _pods: Vec<Pod>,
    _outside: Outside,
    _servers: Vec<Process>,
    _certificates: [Certificate; 2],
    _node: SimNode,
}

impl Shop {
    /// Starts it, lets its parts talk, and waits until the daemon has told of all.
    ///
    /// # Errors
    /// A program fails.
    pub fn open() -> Result<Self> {
        let issuer = TokenIssuer::new(ISSUER)?;
        let certificates = [Certificate::new("server.shop")?, Certificate::new("orders.shop")?];
        let node = SimNode::builder().start()?;
        let pod = |namespace, name| node.pod(namespace, name).deployment(name).start();
        let frontend = pod("web", "frontend")?;
        let (orders, cart, payments) =
            (pod("shop", "orders")?, pod("shop", "cart")?, pod("shop", "payments")?);
        let (ledger, reports) = (pod("bank", "ledger")?, node.pod("ops", "default").start()?);
        let outside = node.external("mail")?;
        let mut servers = Vec::new();
        for place in [&*orders, &*cart, &*payments, &*ledger, &*outside] {
            servers.push(wire::listen(place, &[(8080, Manners::Answer), (9000, Manners::Sink)])?);
        }
        for place in [&cart, &payments, &ledger] {
            servers.extend(s_server(
                place,
                8443,
                &certificates[0],
                &["-www", "-verify", "1", "-verify_quiet"],
            )?);
        }
        let daemon = Daemon::builder().graph(GRAPH).arguments(issuer.arguments()).start(&node)?;

        let claims = Claims { audiences: vec![ISSUER.into()], expires_in: 3600 };
        let plain = wire::get(&[]);
        let token = format!("Bearer {}", issuer.bound(&frontend, &claims)?);
        let own = wire::get(&[("Authorization", &token)]);
        let http = |from: &Pod, to: &str, heads: &[&String]| {
            let steps: Vec<Step<'_>> =
                heads.iter().flat_map(|head| [Step::Send(head.as_bytes()), Step::Hear]).collect();
            wire::talk(from, to, 8080, &steps)
        };
        let [to_orders, to_cart, to_payments, to_ledger, to_mail] =
            [orders.ip4, cart.ip4, payments.ip4, ledger.ip4, outside.ip4].map(|ip| ip.to_string());
        for requests in [40, 25] {
            http(&frontend, &to_orders, &vec![&own; requests])?;
        }
        http(&frontend, &to_cart, &[&plain; 12])?;
        http(&reports, &to_payments, &[&plain, &plain])?;
        http(&payments, &to_mail, &[&plain])?;
        wire::talk(&orders, &to_ledger, 9000, &[Step::Send(&wire::noise(100))])?;
        let proof =
            [&certificates[1].certificate, &certificates[1].key].map(|path| path.display().to_string());
        let mutual = ["--tls-max", "1.2", "--cert", &proof[0], "--key", &proof[1]];
        for (from, to, more) in [
            (&orders, &to_payments, &mutual[..]),
            (&orders, &to_payments, &mutual[..]),
            (&payments, &to_ledger, &mutual[..]),
            // Nobody declared that; and the next two are by nobody's own account.
            (&frontend, &to_payments, &["--tlsv1.3"][..]),
            (&reports, &to_ledger, &["--tlsv1.3"][..]),
            (&reports, &to_ledger, &mutual[..]),
            (&orders, &to_cart, &["--tlsv1.3"][..]),
        ] {
            let url = format!("https://{to}:8443/");
            from.run_ok([&["curl", "-sSk", "-o", "/dev/null"], more, &[url.as_str()]].concat())?;
        }
        // A client's end waits a second for its twin.
        daemon.wait_final("shop/payments", "external")?;
        let shop = Self {
            daemon,
            frontend,
            ledger,
            _issuer: issuer,
            _pods: vec![orders, cart, payments, reports],
            _outside: outside,
            _servers: servers,
            _certificates: certificates,
            _node: node,
        };
        shop.wait_quiet()?;
        Ok(shop)
    }

    /// A call of somebody who has not called there before.
    ///
    /// # Errors
    /// It fails.
    pub fn call(&self) -> Result<()> {
        let (ip, head) = (self.ledger.ip4.to_string(), wire::get(&[]));
        wire::talk(&self.frontend, &ip, 8080, &[Step::Send(head.as_bytes()), Step::Hear])
    }

    /// The page and the command are asked one after the other: nothing may change between.
    fn wait_quiet(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut before = self.edges()?;
        loop {
            thread::sleep(Duration::from_millis(1500));
            let now = self.edges()?;
            if now == before {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "edges still change:\n{now}");
            before = now;
        }
    }

    fn edges(&self) -> Result<String> {
        let mut ask = self.daemon.ask(&["edges", "-o", "json"])?;
        ensure!(ask.status.success(), "{ask:?}");
        Ok(String::from_utf8(std::mem::take(&mut ask.stdout))?)
    }

    /// Where its daemon answers.
    #[must_use]
    pub fn socket(&self) -> String {
        self.daemon.directory().join("observer.sock").display().to_string()
    }
}
