//! Every input that was ever kept runs through its target, on the compiler that everybody has.

use std::collections::BTreeSet;

use observer_fuzz::{TARGETS, replay, seeds};

#[test]
fn real_captures_pass_their_targets() {
    for target in TARGETS {
        let seeds = seeds::of(target.name).unwrap();
        assert!(!seeds.is_empty(), "{}", target.name);
        for (name, input) in seeds {
            eprintln!("{}: {name}", target.name);
            (target.run)(&input);
        }
    }
}

#[test]
fn the_corpora_and_what_once_crashed_pass_their_targets() {
    for target in TARGETS {
        for directory in [replay::corpus(), replay::regressions()] {
            let directory = directory.join(target.name);
            if !directory.exists() {
                continue;
            }
            for (path, input) in replay::inputs(&directory).unwrap() {
                eprintln!("{}: {}", target.name, path.display());
                (target.run)(&input);
            }
        }
    }
}

#[test]
fn every_prefix_of_a_real_capture_passes_its_target() {
    for target in TARGETS {
        for (name, input) in seeds::of(target.name).unwrap() {
            // A step of its own length, so that the whole takes seconds, and every offset has its turn somewhere.
            let step = 1 + input.len() / 64;
            eprintln!("{}: {name}", target.name);
            for end in (0..input.len()).step_by(step) {
                (target.run)(&input[..end]);
            }
        }
    }
}

#[test]
fn the_corpora_belong_to_targets_and_are_small() {
    const MOST: u64 = 1 << 20;
    let names: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
    let mut total = 0;
    for directory in [replay::corpus(), replay::regressions()] {
        // git keeps no empty one.
        for entry in std::fs::read_dir(directory).into_iter().flatten() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            assert!(names.contains(name.as_str()), "{name} is no target");
            for file in std::fs::read_dir(entry.path()).unwrap() {
                total += file.unwrap().metadata().unwrap().len();
            }
        }
    }
    assert!(total < MOST, "{total} bytes: minimise them with `cargo xtask fuzz --keep`");
}
