//! What the kernel is told of a flow whose protocol wants more, less, or other bytes.

use std::collections::VecDeque;

use super::pipeline::Command;
use super::session::Session;
use crate::conntrack::{Flow, Role};
use crate::model::{Direction, Transport};
use crate::protocol::Interest;

/// Says once what of a socket's bytes is still wanted.
pub fn tell_kernel(flow: &mut Flow<Session>, commands: &mut VecDeque<Command>) {
    if flow.transport == Transport::Udp || flow.closed.is_some() {
        return;
    }
    let Session { protocol, facts } = &mut flow.session;
    if facts.again && !facts.count_told && flow.role == Role::Server && protocol.is_repeatable() {
        facts.count_told = true;
        if let (Some((_, received)), Some((_, sent))) =
            (flow.sequence_after(true, 0), flow.sequence_after(false, 0))
        {
            commands.push_back(Command::Count { cookie: flow.cookie, received, sent });
        }
        return;
    }
    match flow.session.protocol.interest() {
        Interest::More => {}
        Interest::Nothing => {
            if !flow.session.facts.stop_told {
                flow.session.facts.stop_told = true;
                commands.push_back(Command::Stop(flow.cookie));
            }
        }
        Interest::FramesAhead { client, server } => {
            let client = client.and_then(|ahead| flow.sequence_after(true, ahead));
            let server = server.and_then(|ahead| flow.sequence_after(false, ahead));
            let ends = [client, server];
            let of = |wanted| {
                let found = ends.iter().flatten().find(|(direction, _)| *direction == wanted);
                found.map(|&(_, sequence)| sequence)
            };
            let (received, sent) = (of(Direction::Received), of(Direction::Sent));
            let told = &mut flow.session.facts.frames_told;
            if *told != (received, sent) {
                *told = (received, sent);
                commands.push_back(Command::Frames { cookie: flow.cookie, received, sent });
            }
        }
        Interest::AfterClientBytes(ahead) => {
            if let Some((direction, sequence)) = flow.sequence_after(true, ahead)
                && flow.session.facts.resume_told != Some(sequence)
            {
                flow.session.facts.resume_told = Some(sequence);
                commands.push_back(Command::Resume(flow.cookie, direction, sequence));
            }
        }
    }
}
