use observer::probe::*;
fn main() -> anyhow::Result<()> {
    let root = CgroupRoot::find()?;
    let mut p = Probe::load(&root, &Options::default())?;
    for (n,h) in &p.hooks { println!("{n} {h:?}"); }
    for _ in 0..100 {
        p.drain(1000, Default::default(), |e, _| match e { Ok(observer::model::Event::Payload(p)) => println!("{:?} {} {}", p, p.bytes.len(), String::from_utf8_lossy(&p.bytes[..p.bytes.len().min(60)])), e=> println!("{e:?}")});
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    println!("{:?}", p.counters());
    Ok(())
}
