//! What `--pipeline` puts into a bundle, as the command line and applications read it.

mod command;

use command::{DATA, cygnet, path, text};
use cygnet_sdk::{Answer, ErrorKind, Model, Order, Picture, Turn};

fn good(arguments: &[&str]) -> String {
    let out = cygnet(arguments);
    assert!(out.status.success(), "{arguments:?}: {}", text(&out.stderr));
    text(&out.stdout)
}

fn bad(code: i32, arguments: &[&str]) -> String {
    let out = cygnet(arguments);
    assert_eq!(out.status.code(), Some(code), "{}", text(&out.stderr));
    text(&out.stderr)
}

fn digits(folder: &std::path::Path, pipeline: &[&str]) -> String {
    let bundle = path(folder, "digits.cygnet");
    let model = format!("{DATA}/digits.onnx");
    let labels = path(folder, "labels.txt");
    let names = "nought\none\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\n";
    std::fs::write(&labels, names).unwrap();
    let mut arguments = vec!["compile", &model, "-o", &bundle, "--labels", &labels];
    arguments.extend(pipeline);
    good(&arguments);
    bundle
}

/// An application and `cygnet run` give the same scores to the same pictures, turned pictures included.
#[test]
fn applications_answer_as_the_command_line_does() {
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "pipeline.toml");
    let words =
        "[pipeline]\nfit = \"stretch\"\ndecode = \"top\"\nactivation = \"auto\"\nanswers = 3\n";
    std::fs::write(&file, words).unwrap();
    let bundle = digits(folder.path(), &["--pipeline", &file]);
    let shown = good(&["inspect", &bundle]);
    assert!(shown.contains("picture: stretch, gray"), "{shown}");
    assert!(shown.contains("answer: the 3 best classes"), "{shown}");
    let model = Model::open(&bundle).unwrap();
    assert!(model.self_test().unwrap() > 0);
    let mut session = model.session().unwrap();
    session.warm_up().unwrap();
    for digit in 0..10 {
        let name = format!("{DATA}/digit_{digit}.png");
        let json = path(folder.path(), "answer.json");
        good(&[
            "run", &bundle, "--input", &name, "--top", "3", "--json", &json,
        ]);
        let report: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
        let picture = image::open(&name).unwrap();
        let (w, h) = (picture.width() as usize, picture.height() as usize);
        let gray = picture.to_luma8();
        let upright = Picture::packed(w, h, gray.as_raw(), Order::Gray).unwrap();
        // The same pixels as a camera that was held on its side has them.
        let rgba = image::imageops::rotate270(&picture.to_rgba8());
        let sideways = Picture::packed(h, w, rgba.as_raw(), Order::Rgba)
            .unwrap()
            .turned(Turn::degrees(90).unwrap());
        for picture in [upright, sideways] {
            let Answer::Classes(classes) = session.ask_picture(&picture).unwrap() else {
                panic!("a classifier answers with classes")
            };
            assert_eq!(classes.len(), 3);
            assert_eq!(classes[0].index, digit, "{name}");
            for (class, want) in classes
                .iter()
                .zip(report["outputs"][0]["top"].as_array().unwrap())
            {
                assert_eq!(class.label, want["label"].as_str().unwrap());
                assert_eq!(class.score, want["score"].as_f64().unwrap() as f32);
            }
        }
    }
    let times = session.run_profiled().unwrap();
    assert!(times.iter().any(|t| t.operator == "conv"), "{times:?}");
}

#[test]
fn bundles_without_a_pipeline_take_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = digits(folder.path(), &[]);
    assert!(!good(&["inspect", &bundle]).contains("pipeline"));
    let model = Model::open(&bundle).unwrap();
    let mut session = model.session().unwrap();
    let pixels = [0u8; 64];
    let picture = Picture::packed(8, 8, &pixels, Order::Gray).unwrap();
    let refused = session.ask_picture(&picture).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Pipeline);
    assert!(refused.to_string().contains("--pipeline"), "{refused}");
    let count: usize = model.inputs()[0].axes.iter().map(|a| a.most).product();
    session.set_input(0, &vec![0.5f32; count]).unwrap();
    session.run().unwrap();
    assert_eq!(session.output::<f32>(0).unwrap().len(), 10);
    assert_eq!(session.answer().unwrap_err().kind(), ErrorKind::Pipeline);
    for (refused, said) in [
        (session.set_input(0, &[0.5f32]), "given were 1"),
        (session.set_input(0, &vec![0i64; count]), "given were i64"),
        (session.set_input(1, &[0.5f32]), "none at position 1"),
        (session.set_bytes(0, &[0; 7]), "given were 7"),
        (session.set_shape(0, &[1, 2]), "wants ["),
        (session.output::<i64>(0).map(|_| ()), "asked for were i64"),
        (session.output::<f32>(9).map(|_| ()), "none at position 9"),
        (session.input_named("x?").map(|_| ()), "there are image"),
    ] {
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Input, "{refused}");
        assert!(refused.to_string().contains(said), "{refused}");
    }
}

#[test]
fn damaged_and_cut_bundles_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = digits(folder.path(), &["--resize", "--decode", "top"]);
    let bytes = std::fs::read(&bundle).unwrap();
    assert!(Model::from_bytes(&bytes).is_ok());
    for cut in [0, 1, 100, bytes.len() / 2, bytes.len() - 1] {
        let refused = Model::from_bytes(&bytes[..cut]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Model, "{refused}");
    }
    let at = bytes.windows(4).position(|w| w == b"CYGP").unwrap();
    let mut later = bytes.clone();
    later[at + 4] = 2;
    let refused = Model::from_bytes(&later).unwrap_err();
    assert!(refused.to_string().contains("later version"), "{refused}");
    let missing = Model::open(path(folder.path(), "none.cygnet")).unwrap_err();
    assert!(missing.to_string().contains("none.cygnet"), "{missing}");
}

#[test]
fn wrong_pipelines_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let out = path(folder.path(), "out.cygnet");
    let model = format!("{DATA}/digits.onnx");
    let file = path(folder.path(), "wrong.toml");
    std::fs::write(&file, "[pipeline]\nfitt = \"crop\"\n").unwrap();
    for (code, flags, said) in [
        (
            2,
            &["--pipeline", "imagent"][..],
            "none of imagenet, ocr-ctc",
        ),
        (2, &["--pipeline", &file], "fitt"),
        (
            1,
            &["--pipeline", "imagenet"],
            "--std has 3 values, the input has 1 channel",
        ),
        (1, &["--std", "0"], "--std must not be zero"),
    ] {
        let mut arguments = vec!["compile", &model, "-o", &out];
        arguments.extend(flags);
        let message = bad(code, &arguments);
        assert!(message.contains(said), "{flags:?}: {message}");
        assert!(!std::path::Path::new(&out).exists());
    }
}
