//! Completion in real shells.

use anyhow::{Result, ensure};

use super::stage::Stage;
use super::told;

/// What bash offers after `line`, which it asks the script's own function for.
fn offered_by_bash(stage: &Stage, line: &[&str]) -> Result<Vec<String>> {
    let words: String = line.iter().map(|word| format!("'{word}' ")).collect();
    let script = format!(
        "source <(observer completion bash) || exit 9; \
         registered=$(complete -p observer) || exit 8; \
         function=${{registered#*-F }}; function=${{function%% *}}; \
         COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); \
         \"$function\" observer \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let output = stage.run(&script)?;
    ensure!(output.status.code().is_some_and(|code| code < 8), "{}", told(&script, &output));
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

pub fn completion_works_in_bash_and_fish_and_its_scripts_are_taken_by_zsh(stage: &Stage) -> Result<()> {
    for (shell, check) in [("bash", "bash -n"), ("zsh", "zsh -n"), ("fish", "fish --no-execute")] {
        let line = format!("observer completion {shell} >script.{shell} && {check} script.{shell}");
        let output = stage.run(&line)?;
        ensure!(output.status.success() && output.stderr.is_empty(), "{}", told(&line, &output));
        let hidden = stage.run(&format!("grep --count canary script.{shell}"))?;
        ensure!(hidden.stdout == b"0\n", "what is hidden from people is in script.{shell}");
    }
    for (line, expected) in [
        (&["observer", "fl"][..], &["flows"][..]),
        (&["observer", "flows", "--finding", "un"], &["unencrypted", "unauthenticated", "unexpected"]),
        (&["observer", "flows", "--encryption", "m"], &["mtls"]),
        (&["observer", "flows", "--enc"], &["--encryption"]),
        (&["observer", "edges", "-o", ""], &["table", "wide", "json"]),
        (&["observer", "explain", "attached"], &["attached-mid-stream"]),
        (&["observer", "graph", ""], &["check", "export", "diff"]),
        (&["observer", "graph", "export", "--format", "n"], &["networkpolicy"]),
        (&["observer", "completion", ""], &["bash", "zsh", "fish"]),
    ] {
        let offered = offered_by_bash(stage, line)?;
        ensure!(
            expected.iter().all(|word| offered.iter().any(|offer| offer == word)),
            "{line:?}: {offered:?}"
        );
        ensure!(offered.len() < 20, "{line:?}: {offered:?}");
    }
    // fish tells what it would offer.
    let fish = "observer completion fish | source; complete --do-complete 'observer flows --declaration un'";
    let output = stage.run(&format!("fish --no-config -c \"{fish}\""))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for word in ["unexpected", "ungoverned", "unevaluable"] {
        ensure!(said.contains(word), "{}", told(fish, &output));
    }
    Ok(())
}
