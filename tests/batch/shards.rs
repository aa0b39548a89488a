//! Tests batch parts: they are disjoint and complete, whatever selects the part.

use std::collections::BTreeSet;
use std::process::Output as Raw;

use super::{Fleet, id, names, with};
use crate::sandbox::Output;

/// Returns the models that a run with these variables would process.
fn pending(fleet: &Fleet, args: &[&str], variables: &[(&str, &str)]) -> Result<Vec<String>, String> {
    let mut command = fleet.command(&[&["models.txt", "-n"], args].concat());
    let output: Raw = command.envs(variables.iter().copied()).output().unwrap();
    let output = Output::from(output);
    match output.code {
        Some(0) => Ok(output.stdout.lines().map(str::to_owned).collect()),
        _ => Err(output.stderr),
    }
}

#[test]
fn four_shards_are_disjoint_and_together_all() {
    let fleet = Fleet::of(10);
    // A model that is listed twice counts once, whatever part would have the second entry.
    let mut list: Vec<_> = (0..10).map(id).collect();
    list.insert(1, fleet.hub.url("acme/m0"));
    list.insert(5, "acme/m2.git".to_owned());
    fleet.list(&list);
    let children: Vec<_> = (0..4)
        .map(|index| fleet.spawn(&["models.txt", "--dir", "out", "--shard", &format!("{index}/4")]))
        .collect();
    for child in children {
        let output = Output::from(child.wait_with_output().unwrap());
        assert_eq!(output.code, Some(0), "{output:#?}");
    }
    let mut all = BTreeSet::new();
    for index in 0..4_u16 {
        let done = with(&fleet.journal(&format!("out/st-convert-batch.{index}-of-4.jsonl")), "converted");
        assert_eq!(done, (0..10).filter(|number| number % 4 == index).map(id).collect());
        assert!(all.is_disjoint(&done));
        all.extend(done);
    }
    assert_eq!(all, (0..10).map(id).collect());
    assert_eq!(names(&fleet.home().join("out/acme")).len(), 10);
}

#[test]
fn a_slurm_array_and_an_indexed_job_say_which_part_is_meant() {
    let fleet = Fleet::new();
    let all: Vec<_> = (0..7).map(id).collect();
    fleet.list(&all);
    let part = |index: usize, count: usize| -> Vec<String> {
        all.iter().skip(index).step_by(count).cloned().collect()
    };
    // --array=1-7:2
    for (index, task) in ["1", "3", "5", "7"].into_iter().enumerate() {
        let slurm = [
            ("SLURM_ARRAY_TASK_ID", task),
            ("SLURM_ARRAY_TASK_COUNT", "4"),
            ("SLURM_ARRAY_TASK_MIN", "1"),
            ("SLURM_ARRAY_TASK_MAX", "7"),
            ("SLURM_ARRAY_TASK_STEP", "2"),
        ];
        assert_eq!(pending(&fleet, &[], &slurm), Ok(part(index, 4)));
        // The option has priority.
        assert_eq!(pending(&fleet, &["--shard", "1/2"], &slurm), Ok(part(1, 2)));
        assert_eq!(pending(&fleet, &["--shard", "0/1"], &slurm), Ok(all.clone()));
    }
    for (index, name) in ["0", "1", "2"].into_iter().enumerate() {
        let job = [("JOB_COMPLETION_INDEX", name), ("ST_CONVERT_SHARD_COUNT", "3")];
        assert_eq!(pending(&fleet, &[], &job), Ok(part(index, 3)));
    }
    let error = pending(&fleet, &[], &[("JOB_COMPLETION_INDEX", "1")]).unwrap_err();
    assert_eq!(
        error,
        "error: JOB_COMPLETION_INDEX: is set, and ST_CONVERT_SHARD_COUNT is not\n\
         hint: set ST_CONVERT_SHARD_COUNT to the Job's `completions`, or pass `--shard I/N`\n"
    );
    // --array=0,1,5: the numbers do not show which of the three parts this is.
    let gaps = [
        ("SLURM_ARRAY_TASK_ID", "1"),
        ("SLURM_ARRAY_TASK_COUNT", "3"),
        ("SLURM_ARRAY_TASK_MIN", "0"),
        ("SLURM_ARRAY_TASK_MAX", "5"),
    ];
    assert!(pending(&fleet, &[], &gaps).unwrap_err().contains("whose numbers have gaps"));
    assert_eq!(fleet.hub.requests().len(), 0);
}
