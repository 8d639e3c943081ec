//! The filter of system calls, on the running kernel. Needs root, and fails without: others are refused more.

use std::thread;

use observer::confine::{Forbidden, forbid_to_this_thread};
use observer_harness::calls::ATTEMPTS;
use observer_integration::proven;

#[test]
fn what_a_daemon_never_does_is_refused_by_the_filter_and_by_nothing_else() -> anyhow::Result<()> {
    const EPERM: i32 = 1;
    // Without the filter the kernel looks at the arguments, which make no sense.
    for attempt in &ATTEMPTS {
        let error = attempt.make();
        assert_ne!(error.raw_os_error(), Some(EPERM), "{} proves nothing here: {error}", attempt.name);
    }
    let refused = thread::spawn(|| {
        forbid_to_this_thread(Forbidden::Refuse).unwrap();
        // Errors by their numbers: to say more could be a call that is refused.
        ATTEMPTS.iter().map(|attempt| attempt.make().raw_os_error()).collect::<Vec<_>>()
    });
    for (attempt, error) in ATTEMPTS.iter().zip(refused.join().unwrap()) {
        assert_eq!(error, Some(EPERM), "{}", attempt.name);
    }
    proven!(
        Privilege,
        "system calls that an attacker would want, under the daemon's filter",
        "{0} of {0} refused, which the kernel alone refuses none of",
        ATTEMPTS.len()
    );
    Ok(())
}

#[test]
fn the_c_library_starts_threads_under_the_filter_and_no_program() {
    let tried = thread::spawn(|| {
        forbid_to_this_thread(Forbidden::Refuse).unwrap();
        let in_thread = thread::spawn(|| 7).join().unwrap();
        (in_thread, std::process::Command::new("/bin/true").status().is_err())
    });
    assert_eq!(tried.join().unwrap(), (7, true));
}
