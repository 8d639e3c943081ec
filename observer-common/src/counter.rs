//! What the kernel programs count about themselves, one per-CPU slot each.

/// Index into the per-CPU array `COUNTERS`.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Connection events that found the ring full.
    LostConnections = 0,
    /// Payload records that found the ring full.
    LostPayloads = 1,
    /// Sockets for which the kernel had no memory for our state.
    LostSockets = 2,
    /// UDP conversations that found the table full.
    LostConversations = 3,
    /// Segments whose bytes could not be read.
    UnreadableSegments = 4,
    /// Payload records that were left out because the ring was filling up, to keep room for what matters more.
    SampledPayloads = 5,
}

impl Counter {
    /// All of them, by index.
    pub const ALL: [Self; 6] = [
        Self::LostConnections,
        Self::LostPayloads,
        Self::LostSockets,
        Self::LostConversations,
        Self::UnreadableSegments,
        Self::SampledPayloads,
    ];

    /// The value of the metric label `stage`.
    #[must_use]
    pub const fn stage(self) -> &'static str {
        match self {
            Self::LostConnections => "kernel_connection",
            Self::LostPayloads => "kernel_payload",
            Self::LostSockets => "kernel_socket",
            Self::LostConversations => "kernel_conversation",
            Self::UnreadableSegments => "kernel_unreadable",
            Self::SampledPayloads => "kernel_sampled",
        }
    }
}
