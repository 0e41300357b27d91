//! Promise: what bothered those who tried this first bothers nobody any more.
//!
//! Fifteen things did. Each is here by a name, with the tests that hold that it is gone: in a file beside this one, or
//! among the unit tests of a module.
//!
//! | | what bothered people | what holds that it is gone |
//! | --- | --- | --- |
//! | 1 | packets were lost when the terminal was closed (SIGHUP) | `stop_is_prompt_and_complete::a_closed_terminal_loses_nothing` |
//! | 2 | `curl localhost` made no file, and nothing said why | `a_terminal_shows_the_capture::why_nothing_appears_is_said` |
//! | 3 | nothing was shown while it captured | `a_terminal_shows_the_capture::one_line_is_kept_up_to_date_and_the_end_says_what_to_type` |
//! | 4 | nothing said what to do with the files | `the_first_hour::what_the_end_says_to_type_shows_the_connections`, `chosen_connections_in_one_capture::only_chosen_connections_are_there_and_the_first_packet_has_their_names` |
//! | 5 | names of files do not say which connection they are of | `the_first_hour::what_the_end_says_to_type_shows_the_connections`, `rows_for_people_and_programs::paths_are_those_of_files_each_once` |
//! | 6 | the end was for its authors: counters, empty lines, longer than the terminal | `every_screen_can_be_read::while_it_captures_and_when_it_has_stopped`, `packet-headers/src/run/summary.rs::each_loss_says_why_and_what_to_do` |
//! | 7 | `top` cut the ports, its head and why there was no answer | `every_screen_can_be_read::top_with_a_connection_and_help`, `packet-headers/src/top/view/tests.rs::nothing_that_tells_connections_apart_is_cut`, `packet-headers/src/top/view/tests.rs::no_figure_is_cut_on_a_small_terminal` |
//! | 8 | `top` listed its own questions | `packet-headers/src/top/model.rs::what_asks_the_daemon_is_left_out_unless_it_is_sought` |
//! | 9 | `top` said "written 0/s" between two writes | `packet-headers/src/top/figures.rs::two_answers_have_rates` |
//! | 10 | it did not start in `ip netns exec` | `wherever_it_is_started::in_ip_netns_exec_which_hides_the_cgroups` |
//! | 11 | nobody knew what there is to install, for which processors, and how to upgrade | `the_first_hour::who_wants_to_install_it_reads_what_there_is`, `the_image_captures::it_holds_one_static_file_and_says_what_it_is` |
//! | 12 | no configuration file, no reload, and no word to the service manager | `a_configuration_can_be_changed::limits_and_durations_change_and_the_rest_is_named`, `the_service_manager_is_told::that_it_captures_what_it_does_and_that_it_ends` |
//! | 13 | of a JSON log, some lines were text | `go_command_lines_run_unchanged::every_line_of_a_json_log_is_an_object` |
//! | 14 | a mistyped data directory was made | `errors_tell_what_to_do::the_parents_of_a_data_directory_are_not_made` |
//! | 15 | what was mistyped, or in the way of tcpdump, got no help; no examples, manual or completions | `packet-headers/src/cli/pointers.rs::whoever_writes_what_tcpdump_takes_is_told_what_is_meant`, `packet-headers/src/cli/pointers.rs::a_mistyped_command_is_recognized`, `packet-headers/src/cli/pointers.rs::a_boolean_needs_its_sign`, `packet-headers/src/cli/tests.rs::what_is_wrong_with_a_value_is_said`, `packet-headers/src/cli/tests.rs::every_help_has_examples`, `packet-headers/src/manual.rs::the_verb_shows_what_the_files_have` |
//!
//! And what they met besides: `GET /` was no page, and the answer at an unknown path was empty:
//! `a_page_shows_what_happens::it_shows_the_counts_of_the_daemons_report_without_a_script`,
//! `packet-headers/src/http/routes.rs::where_nothing_is_it_is_said_where_something_is`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use end_to_end::peers::attended::Attended;
use end_to_end::peers::daemon::executable;
use end_to_end::peers::reader::answer_of;
use end_to_end::traffic::{self, Plan};
use end_to_end::world::netns::Lab;

/// The checkout.
fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn each_friction_has_tests_that_exist() -> Result<()> {
    let own = include_str!("the_first_hour.rs");
    let table = own.lines().filter(|line| line.starts_with("//! "));
    let mut frictions = BTreeSet::new();
    for line in table {
        let mut words = line.split('|').skip(1);
        let number = words.next().map(str::trim).map(str::parse::<u32>);
        let tests = line.split('`').filter(|word| word.contains("::"));
        let tests: Vec<_> = tests.collect();
        if let Some(Ok(number)) = number {
            ensure!(!tests.is_empty(), "nothing holds {line}");
            frictions.insert(number);
        }
        for test in tests {
            let (file, name) = test.split_once("::").context("no test")?;
            let file = match file.ends_with(".rs") {
                true => checkout().join(file),
                false => checkout().join(format!("tests/tests/{file}.rs")),
            };
            let text = fs::read_to_string(&file);
            let text = text.with_context(|| format!("reading {}", file.display()))?;
            let begin = format!("#[test]\n{}fn {name}()", indent(&text, name));
            let begin_async = begin.replace("#[test]", "#[tokio::test]");
            let begin_async = begin_async.replace("fn ", "async fn ");
            ensure!(
                text.contains(&begin) || text.contains(&begin_async),
                "no test {test}"
            );
        }
    }
    assert_eq!(frictions, (1..=15).collect());
    Ok(())
}

/// The space before a function of this name.
fn indent<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text
        .lines()
        .find(|line| line.contains(&format!("fn {name}()")));
    line.map_or("", |line| &line[..line.len() - line.trim_start().len()])
}

#[test]
fn what_the_end_says_to_type_shows_the_connections() -> Result<()> {
    let lab = Lab::beside_others()?;
    let mut attended = Attended::start(&lab, (24, 80), &[])?;
    let connections = traffic::run(&lab, &[Plan::SHORT; 3], &())?;
    attended.line("it has three files", |line| line.contains(", 3 files ("))?;
    attended.terminal.press("\u{3}")?;
    attended.terminal.wait()?;
    let line = attended.line("what to type", |line| line.starts_with("Look at them: "))?;
    let typed = line
        .trim_start_matches("Look at them: ")
        .strip_prefix("packet-headers ");
    let typed = typed.with_context(|| line.clone())?;
    let type_it = |more: &[&str]| {
        let mut command = std::process::Command::new(executable()?);
        command.args(typed.split(' ')).args(more);
        command.current_dir(attended.home());
        let answer = answer_of(&mut command)?;
        ensure!(answer.code == Some(0), "{answer:?}");
        anyhow::Ok(answer.out)
    };
    let table = type_it(&[])?;
    assert_eq!(table.lines().count(), 1 + connections.len(), "{table}");
    let published = attended.captures.published()?;
    for connection in &connections {
        for end in [connection.host, connection.peer] {
            ensure!(table.contains(&end.to_string()), "no {end} in {table}");
        }
        // The file of a connection is found by its port.
        let paths = type_it(&["--paths", "--port", &connection.peer.port().to_string()])?;
        let uuid = end_to_end::peers::daemon::kernel_uuid(connection);
        let file = published.get(&uuid).with_context(|| uuid.clone())?;
        ensure!(
            paths.trim_end() == file.strip_prefix(attended.home())?.to_string_lossy(),
            "{paths}"
        );
    }
    Ok(())
}

#[test]
fn who_wants_to_install_it_reads_what_there_is() -> Result<()> {
    let read = |path: &str| fs::read_to_string(checkout().join(path)).context(path.to_owned());
    let install = read("docs/install.md")?;
    for said in [
        "cargo xtask dist",
        "None is published yet.",
        "x86-64",
        "arm64",
        "cargo xtask image",
        "## Upgrading",
        "CHANGELOG.md",
    ] {
        ensure!(install.contains(said), "{said:?} is not in docs/install.md");
    }
    // Manifests name an image that is in no registry: how it gets into one comes before how they are applied.
    let deploy = read("deploy/README.md")?;
    let [push, apply] = ["docker://registry.example", "kubectl apply"].map(|it| deploy.find(it));
    ensure!(push.is_some() && push < apply, "{push:?} {apply:?}");
    ensure!(read("CHANGELOG.md")?.contains("## [Unreleased]"));
    let readme = read("README.md")?;
    let first_screen: Vec<_> = readme.lines().take(40).collect();
    let first_screen = first_screen.join("\n");
    for asked in ["Why not tcpdump?", "Why not the Go program", "What you see"] {
        ensure!(first_screen.contains(asked), "{asked} comes late");
    }
    Ok(())
}
