//! The examples of RFC 7541 appendix C, an encoder of other hands, and hostile blocks.

use std::borrow::Cow;

use proptest::prelude::*;

use super::table::LARGEST_TABLE;
use super::{Decoder, Fault, Reader};

/// Keeps everything.
#[derive(Default)]
struct All {
    fields: Vec<(Option<String>, Option<String>)>,
    gone: Vec<String>,
}

impl Reader for All {
    type Name = String;
    type Value = String;

    fn name(&mut self, bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn value(&mut self, _: Option<&String>, bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn field(&mut self, name: Option<&String>, value: Option<&String>, _: bool) {
        self.fields.push((name.cloned(), value.cloned()));
    }

    fn forget(&mut self, value: String) {
        self.gone.push(value);
    }
}

#[derive(Default)]
struct Both {
    decoder: Decoder<String, String>,
    all: All,
}

impl Both {
    /// `None`: a field that is not known.
    fn decode(&mut self, block: &[u8]) -> Result<Vec<Option<(String, String)>>, Fault> {
        self.all.fields.clear();
        self.decoder.decode(block, &mut self.all)?;
        Ok(self.all.fields.drain(..).map(|(name, value)| name.zip(value)).collect())
    }

    fn table(&self) -> (Vec<(String, String)>, usize) {
        let table = self.decoder.table();
        let entry = |entry: &super::Entry<String, String>| {
            (entry.name.clone().unwrap_or_default(), entry.value.clone())
        };
        (table.entries().map(entry).collect(), table.size())
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A block, its fields, and the table after it with its size.
type Example<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [(&'a str, &'a str)], usize);

fn agrees_with(mut both: Both, examples: &[Example<'_>]) {
    for &(hex, fields, table, size) in examples {
        let read: Option<Vec<_>> = both.decode(&bytes(hex)).unwrap().into_iter().collect();
        assert_eq!(read.unwrap(), pairs(fields), "{hex}");
        assert_eq!(both.table(), (pairs(table), size), "{hex}");
    }
}

#[test]
fn single_fields_as_in_c2() {
    let custom = [("custom-key", "custom-header")];
    let block = "400a637573746f6d2d6b65790d637573746f6d2d686561646572";
    agrees_with(Both::default(), &[(block, &custom, &custom, 55)]);
    agrees_with(Both::default(), &[("040c2f73616d706c652f70617468", &[(":path", "/sample/path")], &[], 0)]);
    agrees_with(
        Both::default(),
        &[("100870617373776f726406736563726574", &[("password", "secret")], &[], 0)],
    );
    agrees_with(Both::default(), &[("82", &[(":method", "GET")], &[], 0)]);
}

const AUTHORITY: (&str, &str) = (":authority", "www.example.com");
const NO_CACHE: (&str, &str) = ("cache-control", "no-cache");
const CUSTOM: (&str, &str) = ("custom-key", "custom-value");

fn requests<'a>(first: &'a str, second: &'a str, third: &'a str) -> [Example<'a>; 3] {
    const GET: (&str, &str) = (":method", "GET");
    const HTTP: (&str, &str) = (":scheme", "http");
    const ROOT: (&str, &str) = (":path", "/");
    [
        (first, &[GET, HTTP, ROOT, AUTHORITY], &[AUTHORITY], 57),
        (second, &[GET, HTTP, ROOT, AUTHORITY, NO_CACHE], &[NO_CACHE, AUTHORITY], 110),
        (
            third,
            &[GET, (":scheme", "https"), (":path", "/index.html"), AUTHORITY, CUSTOM],
            &[CUSTOM, NO_CACHE, AUTHORITY],
            164,
        ),
    ]
}

#[test]
fn requests_as_in_c3() {
    let examples = requests(
        "828684410f7777772e6578616d706c652e636f6d",
        "828684be58086e6f2d6361636865",
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    );
    agrees_with(Both::default(), &examples);
}

#[test]
fn requests_with_huffman_as_in_c4() {
    let examples = requests(
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        "828684be5886a8eb10649cbf",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    );
    agrees_with(Both::default(), &examples);
}

const PRIVATE: (&str, &str) = ("cache-control", "private");
const DATE_21: (&str, &str) = ("date", "Mon, 21 Oct 2013 20:13:21 GMT");
const DATE_22: (&str, &str) = ("date", "Mon, 21 Oct 2013 20:13:22 GMT");
const LOCATION: (&str, &str) = ("location", "https://www.example.com");
const GZIP: (&str, &str) = ("content-encoding", "gzip");
const COOKIE: (&str, &str) = ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1");

fn responses<'a>(first: &'a str, second: &'a str, third: &'a str) -> [Example<'a>; 3] {
    const FOUND: (&str, &str) = (":status", "302");
    const TEMPORARY: (&str, &str) = (":status", "307");
    [
        (first, &[FOUND, PRIVATE, DATE_21, LOCATION], &[LOCATION, DATE_21, PRIVATE, FOUND], 222),
        (second, &[TEMPORARY, PRIVATE, DATE_21, LOCATION], &[TEMPORARY, LOCATION, DATE_21, PRIVATE], 222),
        (
            third,
            &[(":status", "200"), PRIVATE, DATE_22, LOCATION, GZIP, COOKIE],
            &[COOKIE, GZIP, DATE_22],
            215,
        ),
    ]
}

/// The examples' table has 256 bytes, which a block says first (section 6.3).
fn small_table() -> Both {
    let mut both = Both::default();
    assert_eq!(both.decode(&[0x3f, 0xe1, 0x01]).unwrap(), []);
    both
}

#[test]
fn responses_as_in_c5() {
    let examples = responses(
        "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54\
         6e1768747470733a2f2f7777772e6578616d706c652e636f6d",
        "4803333037c1c0bf",
        "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f\
         3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076\
         657273696f6e3d31",
    );
    agrees_with(small_table(), &examples);
}

#[test]
fn responses_with_huffman_as_in_c6() {
    let examples = responses(
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f\
         0b97c8e9ae82ae43d3",
        "4883640effc1c0bf",
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335df\
         dfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
    );
    agrees_with(small_table(), &examples);
}

#[test]
fn a_block_that_ends_early_is_a_fault_or_a_shorter_block() {
    let block = bytes("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf");
    for end in 0..block.len() {
        let mut both = Both::default();
        both.decode(&bytes("828684418cf1e3c2e5f23a6ba0ab90f4ff")).unwrap();
        both.decode(&bytes("828684be5886a8eb10649cbf")).unwrap();
        let read = both.decode(&block[..end]);
        let whole_fields = [0, 1, 2, 3, 4].contains(&end);
        assert_eq!(read.is_ok(), whole_fields, "{end}");
    }
}

#[test]
fn what_no_encoder_means_is_a_fault() {
    for (hex, fault) in [
        ("80", Fault::Index),
        ("be", Fault::Index),
        ("ffffffffffff0f", Fault::Integer),
        ("ff808080808080808000", Fault::Integer),
        ("8220", Fault::LateResize),
        ("0085ffffffffff00", Fault::Huffman),
        // Eight bits of filling (section 5.2).
        ("40820fff00", Fault::Huffman),
        ("400a6375", Fault::Truncated),
    ] {
        assert_eq!(Both::default().decode(&bytes(hex)), Err(fault), "{hex}");
    }
}

#[test]
fn a_table_of_nothing_holds_nothing() {
    let mut both = Both::default();
    both.decode(&bytes("400161016240016101 63")).unwrap();
    assert_eq!(both.table().0.len(), 2);
    both.decode(&bytes("20400161016 4")).unwrap();
    assert_eq!(both.table(), (Vec::new(), 0));
    assert_eq!(both.all.gone, ["b", "c", "d"]);
}

#[test]
fn after_a_loss_old_slots_are_unknown_and_new_ones_known_again() {
    let mut both = Both::default();
    both.decode(&bytes("400161 0162")).unwrap();
    both.decoder.forget(&mut both.all);
    assert_eq!(both.decode(&bytes("be")).unwrap(), [None]);
    assert_eq!(both.decode(&bytes("400163 0164")).unwrap(), [Some(("c".into(), "d".into()))]);
    assert_eq!(both.decode(&bytes("be bf")).unwrap(), [Some(("c".into(), "d".into())), None]);
    // A new value under a name that is not known.
    assert_eq!(both.decode(&bytes("7f00 0165")).unwrap(), [None]);
    assert_eq!(both.decode(&bytes("be bf")).unwrap(), [None, Some(("c".into(), "d".into()))]);
    // An empty table is known.
    both.decode(&bytes("20 3fe11f")).unwrap();
    assert_eq!(both.decode(&bytes("be")), Err(Fault::Index));
}

#[test]
fn the_table_stays_within_its_bound_whatever_size_is_claimed() {
    let mut both = Both::default();
    both.decode(&bytes("3fe1ffff03")).unwrap();
    for _ in 0..100 {
        let mut block = bytes("4001617fe903");
        block.extend([b'x'; 616]);
        both.decode(&block).unwrap();
    }
    for _ in 0..4096 {
        both.decode(&bytes("40 00 00")).unwrap();
    }
    let (entries, size) = both.table();
    assert!(size <= LARGEST_TABLE && entries.len() == LARGEST_TABLE / 32, "{size} {}", entries.len());
    // The peers' table is larger, so what lies beyond ours is only unknown.
    assert_eq!(both.decode(&bytes("ff ff 1f")).unwrap(), [None]);
}

/// Names and values as an encoder may meet them, with many repeats.
fn header_lists() -> impl Strategy<Value = Vec<Vec<(String, String)>>> {
    let name = prop_oneof![
        Just("authorization".to_owned()),
        Just(":path".to_owned()),
        Just("cookie".to_owned()),
        "[a-z]{1,12}"
    ];
    let value = prop_oneof![Just("Bearer abc".to_owned()), Just("/".to_owned()), "[ -~]{0,40}"];
    prop::collection::vec(prop::collection::vec((name, value), 0..12), 1..40)
}

proptest! {
    #[test]
    fn another_encoders_blocks_are_read_as_they_were_meant(lists in header_lists()) {
        let mut encoder = loona_hpack::Encoder::new();
        let mut both = Both::default();
        for list in lists {
            let block = encoder.encode(list.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
            let read: Option<Vec<_>> = both.decode(&block).unwrap().into_iter().collect();
            prop_assert_eq!(read.unwrap(), list);
        }
    }

    #[test]
    fn random_bytes_are_read_or_refused_and_never_more(
        blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..20)
    ) {
        let mut both = Both::default();
        for block in blocks {
            let _ = both.decode(&block);
            prop_assert!(both.table().1 <= LARGEST_TABLE);
        }
    }

    #[test]
    fn another_decoder_agrees_on_random_blocks(block in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut other = loona_hpack::Decoder::new();
        let theirs = other.decode(&block);
        if let (Ok(ours), Ok(theirs)) = (Both::default().decode(&block), theirs) {
            let text = |bytes: &[u8]| Cow::into_owned(String::from_utf8_lossy(bytes));
            let theirs: Vec<_> =
                theirs.iter().map(|(name, value)| Some((text(name), text(value)))).collect();
            prop_assert_eq!(ours, theirs);
        }
    }
}
