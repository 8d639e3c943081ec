//! An input read as a conversation: who says what, cut where, and what is lost. What is said stands there as it is, so
//! that a mutation of it stays one; an escape, which text does not have, says everything else.

/// Never in UTF-8, and rare elsewhere.
const ESCAPE: u8 = 0xc1;

mod code {
    pub const CLIENT: u8 = 0;
    pub const SERVER: u8 = 1;
    pub const CUT: u8 = 2;
    pub const TURN: u8 = 3;
    pub const GAP: u8 = 4;
    pub const LONG_GAP: u8 = 5;
    pub const WALKED: u8 = 6;
    pub const ESCAPE: u8 = 7;
}

/// What happens next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// `turn`: claimed, whoever spoke before.
    Bytes {
        client: bool,
        bytes: Vec<u8>,
        turn: bool,
    },
    Gap {
        client: bool,
        len: u64,
    },
    /// What the kernel says of its walk over HTTP/2's frames.
    Walked {
        client: bool,
        walked: bool,
        only_data: bool,
    },
}

impl Step {
    /// Bytes that are said.
    pub fn len(&self) -> usize {
        if let Self::Bytes { bytes, .. } = self { bytes.len() } else { 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Reads a conversation; the client begins.
pub fn read(mut input: &[u8]) -> Vec<Step> {
    let mut steps = Vec::new();
    let (mut client, mut turn, mut bytes) = (true, false, Vec::new());
    let flush = |steps: &mut Vec<Step>, client, turn: &mut bool, bytes: &mut Vec<u8>| {
        if !bytes.is_empty() {
            steps.push(Step::Bytes { client, bytes: std::mem::take(bytes), turn: std::mem::take(turn) });
        }
    };
    while let Some((&byte, rest)) = input.split_first() {
        input = rest;
        if byte != ESCAPE {
            bytes.push(byte);
            continue;
        }
        let Some((&code, rest)) = input.split_first() else { break };
        input = rest;
        let number = code >> 3;
        if code & 7 == code::ESCAPE {
            bytes.push(ESCAPE);
            continue;
        }
        flush(&mut steps, client, &mut turn, &mut bytes);
        match code & 7 {
            code::CLIENT => client = true,
            code::SERVER => client = false,
            code::TURN => turn = true,
            code::GAP => steps.push(Step::Gap { client, len: number.into() }),
            code::LONG_GAP => {
                let (taken, rest) = input.split_at(input.len().min(2));
                input = rest;
                let low = taken.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
                steps.push(Step::Gap { client, len: low << number });
            }
            code::WALKED => {
                steps.push(Step::Walked { client, walked: number & 1 != 0, only_data: number & 2 != 0 });
            }
            // A cut.
            _ => {}
        }
    }
    flush(&mut steps, client, &mut turn, &mut bytes);
    steps
}

/// Whether everything was seen, and turns are what they seem.
pub fn is_whole(steps: &[Step]) -> bool {
    steps.iter().all(|step| matches!(step, Step::Bytes { turn: false, .. }))
}

/// The same, with what one side says at a time in one piece.
pub fn joined(steps: &[Step]) -> Vec<Step> {
    let mut joined: Vec<Step> = Vec::new();
    for step in steps {
        if let (Step::Bytes { client, bytes, .. }, Some(Step::Bytes { client: before, bytes: all, .. })) =
            (step, joined.last_mut())
            && client == before
        {
            all.extend(bytes);
        } else {
            joined.push(step.clone());
        }
    }
    joined
}

/// A conversation without losses as an input: the inverse of [`read`].
pub fn write(spoken: &[(bool, Vec<u8>)]) -> Vec<u8> {
    let mut input = Vec::new();
    let mut speaker = true;
    for (at, (client, bytes)) in spoken.iter().enumerate() {
        if *client != speaker {
            input.extend([ESCAPE, if *client { code::CLIENT } else { code::SERVER }]);
            speaker = *client;
        } else if at > 0 {
            input.extend([ESCAPE, code::CUT]);
        }
        for &byte in bytes {
            input.push(byte);
            if byte == ESCAPE {
                input.push(code::ESCAPE);
            }
        }
    }
    input
}
