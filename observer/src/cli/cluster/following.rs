//! An answer that goes on: the records of all nodes, as they come.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use super::Target;
use super::asking::{Limits, late};
use super::conversation::{Conversation, Reach, Said};
use super::merging::Timed;
use super::order::InOrder;

/// Lines between the nodes and whoever prints: who prints slowly makes the observers lose records, and they count them.
const QUEUE: usize = 1024;

/// What whoever prints gets.
#[derive(Debug)]
pub enum Heard {
    Item(String),
    Dropped(u64),
    /// A node that does not answer, or no longer; why.
    Silent(String, String),
}

/// Ends with its owner.
#[derive(Debug)]
pub struct Following {
    heard: mpsc::Receiver<Heard>,
    ahead: Option<Heard>,
}

impl Following {
    /// Within a runtime.
    pub fn start<R: Reach>(
        reach: Arc<R>,
        targets: &[Target],
        (command, request): (Vec<String>, String),
        limits: Limits,
    ) -> Self {
        let (tell, told) = mpsc::channel(QUEUE);
        let (print, heard) = mpsc::channel(QUEUE);
        let opening = Arc::new(Semaphore::new(limits.at_once));
        let asked = Arc::new((command, request));
        for target in targets.iter().cloned() {
            let (reach, asked, opening, tell) = (reach.clone(), asked.clone(), opening.clone(), tell.clone());
            tokio::spawn(async move {
                let following = follow(&*reach, &target, &asked, (&opening, limits), &tell);
                let why = tokio::select! {
                    why = following => why,
                    () = tell.closed() => return,
                };
                let _ = tell.send(Heard::Silent(target.node, why)).await;
            });
        }
        tokio::spawn(in_order(told, print));
        Self { heard, ahead: None }
    }

    /// Waits for the next; `None` once no observer speaks any more.
    pub fn next(&mut self) -> Option<Heard> {
        self.ahead.take().or_else(|| self.heard.blocking_recv())
    }

    /// Whether [`Self::next`] would wait.
    pub fn is_drained(&mut self) -> bool {
        if self.ahead.is_none() {
            self.ahead = self.heard.try_recv().ok();
        }
        self.ahead.is_none()
    }
}

/// Returns with why it ended.
async fn follow<R: Reach>(
    reach: &R,
    target: &Target,
    (command, request): &(Vec<String>, String),
    (opening, limits): (&Semaphore, Limits),
    tell: &mpsc::Sender<Heard>,
) -> String {
    if let Some(why) = &target.absent {
        return why.clone();
    }
    let Ok(turn) = opening.acquire().await else { return String::new() };
    let begin = async { Conversation::begin(reach.open(target, command).await?, request).await };
    let begun = tokio::time::timeout(limits.within, begin).await;
    drop(turn);
    let mut conversation = match begun {
        Ok(Ok(conversation)) => conversation,
        Ok(Err(why)) => return why,
        Err(_) => return late(limits),
    };
    loop {
        let heard = match conversation.next().await {
            Ok(Said::Item(line)) => Heard::Item(line),
            Ok(Said::Dropped(n)) => Heard::Dropped(n),
            Ok(Said::End(_)) => return "its observer ended".to_owned(),
            Err(why) => return why,
        };
        if tell.send(heard).await.is_err() {
            return String::new();
        }
    }
}

/// Hands on what the nodes tell, records in the order of their times.
async fn in_order(mut told: mpsc::Receiver<Heard>, print: mpsc::Sender<Heard>) {
    let start = Instant::now();
    let mut order = InOrder::default();
    loop {
        while let Some(line) = order.pop(start.elapsed()) {
            if print.send(Heard::Item(line)).await.is_err() {
                return;
            }
        }
        let due = order.due().unwrap_or(Duration::MAX);
        let wait = due.saturating_sub(start.elapsed()).min(Duration::from_secs(3600));
        tokio::select! {
            heard = told.recv() => match heard {
                Some(Heard::Item(line)) => match serde_json::from_str::<Timed>(&line) {
                    Ok(timed) => order.push(timed.time, line, start.elapsed()),
                    // Whoever prints it says what is wrong with it.
                    Err(_) => if print.send(Heard::Item(line)).await.is_err() { return },
                },
                Some(other) => if print.send(other).await.is_err() { return },
                None => break,
            },
            () = tokio::time::sleep(wait) => {}
            // Nobody reads any more: the observers are let go.
            () = print.closed() => return,
        }
    }
    for line in order.finish() {
        if print.send(Heard::Item(line)).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(second: u32) -> Heard {
        Heard::Item(format!("{{\"time\":\"2026-01-01T00:00:{second:02}Z\"}}\n"))
    }

    #[tokio::test(start_paused = true)]
    async fn records_of_two_nodes_come_in_order_and_a_node_that_ends_stops_nobody() {
        let (tell, told) = mpsc::channel(QUEUE);
        let (print, mut heard) = mpsc::channel(QUEUE);
        tokio::spawn(in_order(told, print));
        for second in [2, 4, 1, 3] {
            tell.send(record(second)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tell.send(Heard::Silent("n1".into(), "it broke off".into())).await.unwrap();
        assert!(
            matches!(heard.recv().await, Some(Heard::Silent(node, _)) if node == "n1"),
            "it is told at once"
        );
        for second in 1..=4 {
            let Some(Heard::Item(line)) = heard.recv().await else { panic!("no record {second}") };
            assert!(line.contains(&format!("00:{second:02}Z")), "{line}");
        }
        tell.send(record(9)).await.unwrap();
        drop(tell);
        assert!(matches!(heard.recv().await, Some(Heard::Item(_))), "what is left is shown");
        assert!(heard.recv().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_reading_lets_the_observers_go() {
        let (tell, told) = mpsc::channel::<Heard>(QUEUE);
        let (print, heard) = mpsc::channel(QUEUE);
        tokio::spawn(in_order(told, print));
        drop(heard);
        // Also where no record comes.
        tokio::time::timeout(Duration::from_secs(10), tell.closed()).await.unwrap();
    }
}
