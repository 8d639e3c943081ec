//! What needs root, and how to become it.

use std::process::Command;

use anyhow::{Result, bail};

use crate::process;

/// Whether this process acts as root.
pub fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| effective_uid(&status) == Some(0))
}

/// `program`, through sudo unless this is root already. Says so, because sudo may ask for a password.
///
/// # Errors
/// If this is neither root nor is there sudo; `by_hand` is then named as the way out.
pub fn command(program: &str, why: &str, by_hand: &str) -> Result<Command> {
    if is_root() {
        return Ok(process::command(program));
    }
    if process::find("sudo").is_none() {
        bail!("{why} needs root, and there is no sudo; as root, run: {by_hand}");
    }
    eprintln!("{why} needs root: asking sudo");
    let mut command = process::command("sudo");
    command.arg(program);
    Ok(command)
}

/// proc_pid_status(5): `Uid:` holds the real, effective, saved and file system ids.
fn effective_uid(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_user_counts_not_the_real_one() {
        assert_eq!(effective_uid("Name:\tx\nUid:\t1000\t0\t0\t0\nGid:\t7\t7\t7\t7\n"), Some(0));
        assert_eq!(effective_uid("Uid:\t0\t1000\t1000\t1000\n"), Some(1000));
        assert_eq!(effective_uid("Name:\tx\n"), None);
    }
}
