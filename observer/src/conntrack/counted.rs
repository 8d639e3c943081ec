use super::role::Role;
use super::stream::Piece;
use super::table::{Flow, Table};
use crate::model::Repeats;

impl<S: Default> Table<S> {
    /// The kernel counted what the client said again, at its server's end. Answers the flow, and how many bytes of the
    /// client's are news; `None` as long as bytes before them are still to come.
    pub fn counted(
        &mut self,
        repeats: &Repeats,
        mut deliver: impl FnMut(&mut S, bool, Piece<'_>),
    ) -> Option<(&mut Flow<S>, u64)> {
        let flow = self.flows.get_mut(&repeats.cookie).filter(|flow| flow.role == Role::Server)?;
        let mut news = 0;
        if let Some((since, client_next, server_next)) = repeats.counted {
            let Flow { received, sent, session, .. } = flow.as_mut();
            news = received.counted(since, client_next, repeats.over, &mut |piece| {
                deliver(session, true, piece);
            })?;
            sent.pass(server_next);
            if news > 0 {
                flow.last_seen = repeats.time;
            }
        }
        Some((flow, news))
    }
}
