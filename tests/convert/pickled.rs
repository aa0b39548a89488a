//! Tests plain pickles, archives of other tools and empty weights in a repository: converted, skipped or refused.

use super::{Model, fixture, oid_of};
use crate::checkpoint::archive::{Record, write};
use crate::checkpoint::pickle::{call, four, global, text, whole};
use crate::checkpoint::{records, zip_of};

#[test]
fn a_pickled_state_dict_converts_like_any_checkpoint() {
    let model = Model::new();
    model.add("model.pickle", &fixture("pickled-state-dict.pickle"));
    model.commit();
    model.run::<&str>(&[]).ok();
    model.check("model.safetensors", &oid_of("pickled-state-dict.pickle"));
    let verified = model.run(&["verify"]).ok();
    assert!(verified.contains("identical"), "{verified}");
    let seen = model.run(&["inspect", "model.pickle"]).ok();
    assert!(seen.contains("linear.weight") && seen.contains("pickle"), "{seen}");
    let lines = model.run(&["--json", "-f", "-n", "model.pickle"]).ok();
    assert!(lines.contains("\"format\":\"pickle\""), "{lines}");
}

#[test]
fn a_plain_pickle_without_storages_is_skipped_until_it_is_named() {
    let model = Model::new();
    model.add("model_final.pkl", &fixture("pickled-arrays-4.pkl"));
    // A pickle that joblib's raw data follows, and a pickle without arrays.
    model.add("scaler.pkl", b"\x80\x04\x95\x03\x00\x00\x00\x00\x00\x00\x00\xffjoblib");
    model.add("vocabulary.pkl", &fixture("pickled-nothing.pkl"));
    // The oldest protocols have no magic number; the last name indicates weights with storages; a text is not a pickle.
    model.add("old.pkl", &fixture("pickled-arrays-0.pkl"));
    model.add("words.pkl", &fixture("pickled-nothing-0.pkl"));
    model.add("pytorch_model.bin", &fixture("pickled-arrays-2.pkl"));
    model.add("pytorch_model-words.bin", &fixture("pickled-nothing-1.pkl"));
    model.add("notes.bin", b"(see the notes)\n");
    model.commit();
    let run = model.run::<&str>(&[]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""), "{run:?}");
    for note in [
        "model_final.pkl: skipped: plain pickle; convert its arrays: `git st-convert model_final.pkl`\n",
        "scaler.pkl: skipped: plain pickle; list what it imports: `git st-convert scan scaler.pkl`\n",
        "vocabulary.pkl: skipped: no tensors\n",
        "old.pkl: skipped: plain pickle; convert its arrays: `git st-convert old.pkl`\n",
        "words.pkl: skipped: no tensors\n",
        "pytorch_model.bin: skipped: plain pickle; convert its arrays: `git st-convert pytorch_model.bin`\n",
        "pytorch_model-words.bin: skipped: no tensors\n",
    ] {
        assert!(run.stderr.contains(note), "{note}: {run:?}");
    }
    assert!(!run.stderr.contains("notes.bin"), "{run:?}");
    let lines = model.run(&["--json"]).ok();
    assert!(lines.contains("\"status\":\"skipped\"") && lines.contains("a plain pickle"), "{lines}");
    model.run(&["old.pkl", "pytorch_model.bin"]).ok();
    model.check("old.safetensors", &oid_of("pickled-arrays-0.pkl"));
    model.check("model.safetensors", &oid_of("pickled-arrays-2.pkl"));
    let said = model.run(&["model_final.pkl"]).ok();
    assert!(said.contains("key      model") && said.contains("__author__ (str)"), "{said}");
    model.check("model_final.safetensors", &oid_of("pickled-arrays-4.pkl"));
    for name in ["vocabulary.pkl", "words.pkl"] {
        let run = model.run(&[name]);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.stderr.contains("(found: pickle without tensors)"), "{run:?}");
    }
}

/// A command that is refused is no advice.
#[test]
fn a_plain_pickle_of_which_nothing_can_be_converted_is_scanned_and_not_converted() {
    let model = Model::new();
    let arrays = fixture("pickled-arrays-2.pkl");
    let evil: &[u8] = b"\x80\x02cposix\nsystem\nX\x04\0\0\0true\x85R0";
    model.add("evil.pkl", &[evil, &arrays[2..]].concat());
    model.add("broken.pkl", &arrays[..arrays.len() - 3]);
    model.add("named.pkl", b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n0N.");
    model.add("arrays.pkl", &arrays);
    model.commit();
    let run = model.run::<&str>(&[]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""), "{run:?}");
    for note in [
        "evil.pkl: skipped: plain pickle; list what it imports: `git st-convert scan evil.pkl`\n",
        "broken.pkl: skipped: plain pickle; list what it imports: `git st-convert scan broken.pkl`\n",
        "named.pkl: skipped: no tensors\n",
        "arrays.pkl: skipped: plain pickle; convert its arrays: `git st-convert arrays.pkl`\n",
    ] {
        assert!(run.stderr.contains(note), "{note}: {run:?}");
    }
    for (name, code) in [("evil.pkl", 1), ("broken.pkl", 1), ("named.pkl", 1), ("arrays.pkl", 0)] {
        assert_eq!(model.run(&[name]).code, Some(code), "{name}");
    }
    assert!(model.run(&["scan", "evil.pkl"]).stdout.contains("posix.system"));
}

#[test]
fn pickles_of_the_oldest_protocols_that_hold_storages_convert_in_a_bare_run() {
    let model = Model::new();
    model.add("zero.pkl", &fixture("pickled-protocol-0.pkl"));
    model.add("one.pickle", &fixture("pickled-protocol-1.pkl"));
    model.add("module.pth", &fixture("pickled-module-0.pkl"));
    model.commit();
    model.run::<&str>(&[]).ok();
    model.check("zero.safetensors", &oid_of("pickled-protocol-0.pkl"));
    model.check("one.safetensors", &oid_of("pickled-protocol-1.pkl"));
    model.check("module.safetensors", &oid_of("pickled-module-0.pkl"));
    // The hook and the scan agree: nothing in them executes.
    for name in ["zero.pkl", "one.pickle", "module.pth"] {
        let said = model.run(&["scan", name]).stdout;
        assert!(said.starts_with("unknown  "), "{said}");
    }
}

#[test]
fn a_shard_of_a_distributed_checkpoint_is_skipped_and_by_name_refused() {
    let model = Model::new();
    // A shard with a single tensor looks like any checkpoint.
    let one = zip_of(&four());
    for (name, content) in [("dist/__0_0.distcp", fixture("several-archives.distcp")), ("__1_0.distcp", one)]
    {
        model.add(name, &content);
    }
    model.commit();
    let run = model.run::<&str>(&[]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""), "{run:?}");
    let merge = |dir: &str| {
        format!(
            "merge the shards: `python -m torch.distributed.checkpoint.format_utils dcp_to_torch {dir} OUTPUT.pth`\n"
        )
    };
    for (name, dir) in [("dist/__0_0.distcp", "dist"), ("__1_0.distcp", ".")] {
        let note = format!("{name}: skipped: shard of a distributed checkpoint; {}", merge(dir));
        assert!(run.stderr.contains(&note), "{note}: {run:?}");
        for args in [vec![name], vec![name, "-o", "x.safetensors"]] {
            let run = model.run(&args);
            assert_eq!(run.code, Some(1), "{run:?}");
            let error =
                format!("{name}: not a PyTorch checkpoint (found: shard of a distributed checkpoint)\n");
            assert!(run.stderr.contains(&error) && run.stderr.contains(&merge(dir)), "{run:?}");
        }
    }
}

#[test]
fn archives_of_other_tools_are_refused_by_name_with_what_to_do() {
    let model = Model::new();
    for (fixed, name, error, hint) in [
        (
            "stable-baselines.zip",
            "ppo.zip",
            "not a PyTorch checkpoint (found: Stable-Baselines3 model)",
            "unpack its policy: `unzip ppo.zip policy.pth && git st-convert --output x.safetensors policy.pth`",
        ),
        (
            "packed-checkpoints.pt",
            "all.pt",
            "not a PyTorch checkpoint (found: zip archive of checkpoints)",
            "unpack it first: `unzip all.pt`",
        ),
        (
            "package.pt",
            "package.pt",
            "not a PyTorch checkpoint (found: torch.package archive)",
            "load it with `torch.package.PackageImporter`, and save its weights: `torch.save(model.state_dict(), …)`",
        ),
        (
            "zero3-states.pt",
            "states.pt",
            "2 of 2 tensors are empty",
            "merge the ranks in the directory where DeepSpeed saved `zero_to_fp32.py`: `python zero_to_fp32.py . OUTPUT_DIR`",
        ),
        (
            "zero3-positions.bin",
            "pytorch_model.bin",
            "2 of 3 tensors are empty",
            "merge the ranks in the directory where DeepSpeed saved `zero_to_fp32.py`: `python zero_to_fp32.py . OUTPUT_DIR`",
        ),
        (
            "pointer-conflict.bin",
            "merged.bin",
            "not a PyTorch checkpoint (found: LFS pointer with conflict markers)",
            "find a version without conflicts: `git log --oneline -- merged.bin`",
        ),
        (
            "wrapped-dtensor.pt",
            "rank.pt",
            "tensor a.weight is an object of class `torch.distributed.tensor.DTensor`, which has no data of its own",
            "merge the ranks first, in the run that saved it: \
             `torch.save(get_model_state_dict(model, options=StateDictOptions(full_state_dict=True)), …)`",
        ),
        (
            "wrapped-torchao.pt",
            "int4.pt",
            "tensor a.weight is an object of class `torchao.dtypes.affine_quantized_tensor.AffineQuantizedTensor`",
            "where it was made, save its weights dequantized: \
             `torch.save({k: v if type(v) is torch.Tensor else v.dequantize() for k, v in model.state_dict().items()}, …)`",
        ),
    ] {
        model.write(name, fixture(fixed));
        let run = model.run(&[name, "-o", "x.safetensors"]);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.stderr.contains(&format!("{name}: {error}")), "{run:?}");
        assert!(run.stderr.contains(&format!("hint: {hint}\n")), "{run:?}");
    }
}

/// A file of joblib with an array: a line of `joblib.tsv`, by `make_joblib.py`.
fn joblib() -> Vec<u8> {
    let line = include_str!("../fixtures/joblib.tsv").lines().find(|line| line.contains("floats\tplain\t"));
    let digits = line.and_then(|line| line.rsplit('\t').next()).unwrap();
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

#[test]
fn arrays_and_models_of_other_libraries_are_named_and_are_no_damage() {
    let model = Model::new();
    let in_python = |arrays: &str, file: &str| {
        format!(
            "convert it in Python: `python -c 'import sys, numpy; from safetensors.numpy import save_file; \
             save_file({arrays}, sys.argv[2])' {file} OUTPUT.safetensors`"
        )
    };
    let array = "{\"NAME\": numpy.load(sys.argv[1])}";
    for (content, name, found, hint) in [
        (
            fixture("arrays.npz"),
            "weights.npz",
            "zip archive of numpy arrays",
            in_python("dict(numpy.load(sys.argv[1]))", "weights.npz"),
        ),
        (fixture("array.npy"), "weights.npy", "numpy array", in_python(array, "weights.npy")),
        (fixture("array.npy"), "pytorch_model.bin", "numpy array", in_python(array, "pytorch_model.bin")),
        (
            fixture("model.keras"),
            "model.keras",
            "Keras model",
            "list its members: `unzip -l model.keras`".to_owned(),
        ),
        (
            joblib(),
            "scaler.joblib",
            "joblib file",
            "list what it imports: `git st-convert scan scaler.joblib`".to_owned(),
        ),
    ] {
        model.write(name, content);
        for args in [vec![name], vec![name, "-o", "x.safetensors"], vec!["-n", name]] {
            let run = model.run(&args);
            assert_eq!(run.code, Some(1), "{run:?}");
            let error = format!("error: {name}: not a PyTorch checkpoint (found: {found})\nhint: {hint}\n");
            assert!(run.stderr.starts_with(&error), "{error}: {run:?}");
        }
    }
}

/// Returns an array file with this header, of version 2, and these bytes after it.
fn npy(header: &str, rest: &[u8]) -> Vec<u8> {
    let len = u32::try_from(header.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x02\x00", len.as_slice(), header.as_bytes(), rest].concat()
}

/// Returns a name, the content, a part of the error and the verdict of `scan` for each hostile file.
fn hostile() -> Vec<(&'static str, Vec<u8>, &'static str, &'static str)> {
    let runs = call(&global("posix", "system"), &[text("true")]);
    let objects = npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", &whole(&runs));
    let joblib_name = global("joblib.numpy_pickle", "NumpyArrayWrapper");
    let with = |name: &str, bytes: &[u8]| {
        let mut all = records(&runs, &[]);
        all.push(Record::stored(name, bytes));
        write(&all)
    };
    let keras = write(&[Record::stored("config.json", b"{}"), Record::stored("model.weights.h5", b"")]);
    let (array, archive) = ("(found: numpy array)", "(found: zip archive of numpy arrays)");
    vec![
        ("empty.npy", Vec::new(), "(found: empty file)", "clean"),
        ("cut.npy", b"\x93NUMPY".to_vec(), array, "unreadable"),
        ("lies.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{".to_vec(), array, "unreadable"),
        ("objects.npy", objects.clone(), array, "dangerous"),
        ("objects.npz", write(&[Record::stored("a.npy", &objects)]), archive, "dangerous"),
        // PyTorch's reader would open these two, so its reason is the error, and not the other members.
        ("torch.npz", with("a.npy", b""), "a.npy is outside the archive's root directory", "dangerous"),
        (
            "torch.keras",
            with("model.weights.h5", b""),
            "model.weights.h5 is outside the archive's root directory",
            "dangerous",
        ),
        ("cut.keras", keras[..keras.len() - 10].to_vec(), "truncated zip archive", "unreadable"),
        ("empty.keras", keras, "(found: Keras model)", "clean"),
        (
            "pickle.keras",
            write(&[Record::stored("model.weights.h5", &whole(&runs))]),
            "(found: Keras model)",
            "dangerous",
        ),
        (
            "call.joblib",
            whole(&[runs.clone(), b"0".to_vec(), joblib_name.clone()].concat()),
            "(found: ",
            "dangerous",
        ),
        ("cut.joblib", [b"\x80\x02", joblib_name.as_slice(), b")\x81}"].concat(), "(found: ", "unreadable"),
        ("cut.ggml", b"lmgg".to_vec(), "(found: GGML file)", "clean"),
        ("lies.ggml", [b"tjgg".as_slice(), &[0xff; 40]].concat(), "(found: GGML file)", "clean"),
        ("cut.tflite", b"\x1c\0\0\0TFL3".to_vec(), "(found: TensorFlow Lite model)", "clean"),
        (
            "lies.tflite",
            [b"\xff\xff\xff\xffTFL3".as_slice(), &[0xff; 60]].concat(),
            "(found: TensorFlow Lite",
            "clean",
        ),
    ]
}

/// Each kind empty or cut, with a header that lies, or around a call: none is converted, none ends in a panic, and `scan`
/// finds each call that a loader would make, whatever the kind of the file seems to be.
#[test]
fn hostile_files_of_other_libraries_are_named_and_not_converted() {
    let model = Model::new();
    for (name, bytes, error, verdict) in hostile() {
        model.write(name, &bytes);
        for args in [vec![name], vec!["-n", name], vec![name, "-o", "x.safetensors"], vec!["inspect", name]] {
            let run = model.run(&args);
            assert_eq!(run.code, Some(1), "{args:?}: {run:?}");
            assert!(run.stderr.starts_with(&format!("error: {name}: ")), "{args:?}: {run:?}");
            assert!(run.stderr.contains(error), "{error}: {run:?}");
        }
        let scanned = model.run(&["scan", "--json", name]).stdout;
        assert!(scanned.contains(&format!("\"verdict\":\"{verdict}\"")), "{name}: {scanned}");
        let written = |file: &str| model.at(file).exists();
        let output = name.rsplit_once('.').unwrap().0.to_owned() + ".safetensors";
        assert!(!written("x.safetensors") && !written(&output), "{name}");
    }
}
