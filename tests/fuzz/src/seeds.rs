//! The first inputs of each target: real captures, written as what the target reads.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{http2, jwt, ring, script};

#[derive(Deserialize)]
struct Capture {
    segments: Vec<Segment>,
}

#[derive(Deserialize)]
struct Segment {
    from: String,
    hex: String,
}

/// Who said what, segment by segment.
pub type Spoken = Vec<(bool, Vec<u8>)>;

/// The seeds of a target, with names.
///
/// # Errors
/// If the captures cannot be read.
pub fn of(target: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut seeds = Vec::new();
    match target {
        "jwt" => {
            for (name, token) in jwt::tokens() {
                let written = jwt::write(&token).into_iter().enumerate();
                seeds.extend(written.map(|(n, input)| (format!("{name}-{n}"), input)));
            }
        }
        "ring" => {
            for (name, spoken) in captures("")? {
                seeds.push((name, ring::write(&records(&spoken))));
            }
        }
        "http2" => {
            for (name, spoken) in captures("http2_")? {
                seeds.push((format!("{name}-blocks"), http2::write_blocks(&blocks(&spoken))));
                seeds.push((name, session_input(&spoken)));
            }
        }
        _ => {
            let start = match target {
                "tls" => "tls",
                "proxy" => "proxy",
                _ => "http",
            };
            seeds.extend(captures(start)?.into_iter().map(|(name, spoken)| (name, session_input(&spoken))));
        }
    }
    seeds.sort();
    Ok(seeds)
}

/// No options, and the conversation.
fn session_input(spoken: &Spoken) -> Vec<u8> {
    [vec![0], script::write(spoken)].concat()
}

/// The captures whose names start so.
///
/// # Errors
/// If they cannot be read.
pub fn captures(start: &str) -> io::Result<Vec<(String, Spoken)>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../observer/src/protocol/testdata");
    let mut captures = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path: PathBuf = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_some_and(|extension| extension == "json") && name.starts_with(start) {
            let capture: Capture = serde_json::from_slice(&std::fs::read(&path)?)?;
            let spoken =
                capture.segments.iter().map(|segment| (segment.from == "client", bytes(&segment.hex)));
            captures.push((name, spoken.collect()));
        }
    }
    Ok(captures)
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
    hex.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// The header blocks of a capture of HTTP/2: of frames that hold a whole one.
fn blocks(spoken: &Spoken) -> Spoken {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const HEADERS: u8 = 1;
    const PRIORITY: u8 = 0x20;
    const PADDED: u8 = 8;
    let mut blocks = Vec::new();
    for (client, bytes) in spoken {
        let mut rest = bytes.strip_prefix(PREFACE).unwrap_or(bytes);
        while let Some(([high, middle, low, kind, flags, ..], left)) = rest.split_first_chunk::<9>() {
            let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
            let Some((payload, left)) = left.split_at_checked(length) else { break };
            rest = left;
            let start = if flags & PRIORITY != 0 { 5 } else { 0 };
            if *kind == HEADERS && flags & PADDED == 0 {
                blocks.push((*client, payload.get(start..).unwrap_or_default().to_vec()));
            }
        }
    }
    blocks
}

/// A connection's records, as the kernel programs write them (`observer_common`): opened, what the server's end
/// receives and sends, closed.
fn records(spoken: &Spoken) -> Vec<Vec<u8>> {
    const OPEN: u16 = 1;
    const CLOSE: u16 = 2;
    const DATA: u16 = 3;
    const SERVER: u16 = 1 << 1;
    const SENT: u16 = 1 << 3;
    const TURN: u16 = 1 << 4;
    const LONGEST: usize = 4096;
    const STARTS: [u32; 2] = [1000, 2000];
    let header = |kind: u16, flags: u16, length: usize, time: u64| {
        let mut bytes = [kind.to_ne_bytes(), flags.to_ne_bytes()].concat();
        bytes.extend(u32::try_from(length).unwrap_or(0).to_ne_bytes());
        for word in [1, time, 7] {
            bytes.extend(u64::to_ne_bytes(word));
        }
        bytes
    };
    let mut tuple = Vec::new();
    for last in [1, 2] {
        tuple.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last]);
    }
    tuple.extend([8080_u16.to_ne_bytes(), 40_000_u16.to_ne_bytes(), [0; 2], [0; 2]].concat());
    let starts = [STARTS[0].to_ne_bytes(), STARTS[1].to_ne_bytes()].concat();
    let mut records = vec![[header(OPEN, SERVER, 0, 1), tuple.clone(), starts].concat()];
    let mut next = STARTS;
    let mut speaker = None;
    for (n, (client, bytes)) in spoken.iter().enumerate() {
        for piece in bytes.chunks(LONGEST) {
            let turn = speaker.replace(*client) != Some(*client);
            let flags = if *client { 0 } else { SENT } | if turn { TURN } else { 0 };
            let sequence = &mut next[usize::from(*client)];
            let mut record = header(DATA, flags, piece.len(), 2 + n as u64);
            record.extend([0; 40]);
            record.extend(sequence.to_ne_bytes());
            record.extend([0; 4]);
            record.extend(piece);
            *sequence += u32::try_from(piece.len()).unwrap_or(0);
            records.push(record);
        }
    }
    let mut close = [header(CLOSE, SERVER, 0, 100), tuple].concat();
    for word in [1, u64::from(next[0] - STARTS[0]), u64::from(next[1] - STARTS[1])] {
        close.extend(word.to_ne_bytes());
    }
    close.extend([9, 0, 0, 0, 0, 0, 0, 0]);
    records.push(close);
    records
}
