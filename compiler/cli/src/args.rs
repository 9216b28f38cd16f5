//! The command line's grammar. Names and flags are a contract: they may grow, not change.

mod help;

use clap::{Args, Parser, Subcommand, ValueEnum};
use cygnet_compiler::firmware::CPUS;
use cygnet_compiler::quantize::Method;
use help::{
    BENCH_HELP, BUILD_HELP, COMPILE_HELP, COMPLETIONS_HELP, DEMO_HELP, DISTILL_HELP, INSPECT_HELP,
    MAN_HELP, NEW_HELP, PACKAGE_HELP, RUN_HELP, SWEEP_HELP, TEST_HELP, TRAIN_HELP, VERIFY_HELP,
};
use std::path::PathBuf;

/// Cygnet: Cargo for on-device models.
#[derive(Parser)]
#[command(
    name = "cygnet",
    version,
    about = "Cargo for on-device models: compile a neural network into one bundle, run it anywhere",
    after_help = "Exit codes: 0 success, 1 the model or the data is at fault, 2 usage, 3 a budget was missed.\nTry `cygnet demo` first: it needs no files.",
    propagate_version = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// No progress bars and no notes on stderr; errors only.
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// The sub-commands.
#[derive(Subcommand)]
pub enum Command {
    /// Compile an embedded digit classifier, run it on an embedded picture: the tour without any files
    #[command(after_long_help = DEMO_HELP)]
    Demo(Demo),
    /// Compile an ONNX model into a bundle
    #[command(after_long_help = COMPILE_HELP)]
    Compile(Box<Compile>),
    /// Run a bundle on arrays, pictures or sounds
    #[command(after_long_help = RUN_HELP)]
    Run(Box<Run>),
    /// Compare a bundle with the model it came from, layer by layer
    #[command(after_long_help = VERIFY_HELP)]
    Verify(Verify),
    /// Measure a bundle's latency and memory
    #[command(after_long_help = BENCH_HELP)]
    Bench(Bench),
    /// Show what is in a bundle: inputs, outputs, memory map, operators, provenance
    #[command(after_long_help = INSPECT_HELP)]
    Inspect(Inspect),
    /// Turn a bundle into what an application links
    #[command(after_long_help = PACKAGE_HELP)]
    Package(Package),
    /// Make a project: a folder with a cygnet.toml that says what is trained on what
    #[command(after_long_help = NEW_HELP)]
    New(New),
    /// Train a project's networks
    #[command(after_long_help = TRAIN_HELP)]
    Train(Train),
    /// Build a project: train what has changed, compile, judge the bundle on samples kept back
    #[command(after_long_help = BUILD_HELP)]
    Build(Build),
    /// Test a project: its training, its bundle, its examples
    #[command(after_long_help = TEST_HELP)]
    Test(Test),
    /// Train a project's model with what a teacher answers
    #[command(after_long_help = DISTILL_HELP)]
    Distill(Distill),
    /// Search a project's settings for the best model that keeps a device's budget
    #[command(after_long_help = SWEEP_HELP)]
    Sweep(Sweep),
    /// Write shell completions to stdout
    #[command(after_long_help = COMPLETIONS_HELP)]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write manual pages (troff) to a folder, or the main page to stdout
    #[command(after_long_help = MAN_HELP)]
    Man {
        /// Folder for one page a sub-command.
        #[arg(long, value_name = "DIR")]
        output: Option<PathBuf>,
    },
}

/// Arguments of `demo`.
#[derive(Args)]
pub struct Demo {
    /// Leave the project, its bundle, a page of the build and a picture in this folder.
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

/// Which arithmetic a compilation uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum Quantize {
    /// As the model is.
    None,
    /// 8-bit weights and activations, calibrated with `--calibrate`.
    Int8,
    /// 8-bit weights, 16-bit activations, calibrated with `--calibrate`: where the range of activations is too wide for 8 bits.
    #[value(name = "int8x16")]
    Int8x16,
    /// 8-bit weights; matrix products quantise their input while they run.
    Dynamic,
    /// 8-bit weights, float arithmetic.
    Int8Weights,
    /// 4-bit weights in groups, float arithmetic.
    Int4,
    /// Half-precision weights, float arithmetic.
    Fp16,
    /// Weights from tables of 16 values, float arithmetic.
    Palette,
    /// For each layer the one that keeps `--max-drop` and the other budgets.
    Auto,
}

/// What a search makes least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Wanted {
    /// Flash times RAM.
    Memory,
    /// Flash.
    Size,
    /// Time on this machine, on one thread.
    Speed,
}

/// How labelled data are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Score {
    /// Part of the cases whose best class is right.
    Top1,
    /// Characters read right.
    Cer,
    /// Area under the ROC curve, for classes 0 and 1.
    Auc,
    /// Mean average precision of boxes.
    Map,
}

/// `0.5` or `0.5%`.
fn points(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches('%').trim();
    match number.parse::<f64>() {
        Ok(p) if (0.0..=100.0).contains(&p) => Ok(p),
        _ => Err(format!(
            "`{text}` is no number of points from 0 to 100, such as 0.5"
        )),
    }
}

/// Where a bundle is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum Target {
    Host,
    Android,
    Ios,
    Wasm,
    CortexM0,
    CortexM4,
    CortexM7,
    CortexM33,
    Riscv,
}

/// How outputs become an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Decode {
    /// The best classes.
    Top,
    /// Text, by connectionist temporal classification.
    Ctc,
    /// Boxes around text, from a probability map.
    Db,
    /// Boxes around things: [1, 4 + classes, boxes] of centre, size and scores.
    Yolo8,
    /// Boxes around things: [1, boxes, 5 + classes] of centre, size, objectness and scores.
    Yolo5,
    /// Boxes around things: edges, classes, scores and count in four outputs, as TFLite's detection models have.
    Ssd,
    /// The class of every pixel.
    Mask,
    /// A vector for comparisons, scaled to length 1.
    Embedding,
    /// Summaries only.
    None,
}

/// How media become tensors; `compile` records it, `run` may overrule it.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Pictures and sounds")]
pub struct Media {
    /// Stretch pictures to the input's size (the default).
    #[arg(long, conflicts_with_all = ["letterbox", "centre", "crop"])]
    pub resize: bool,
    /// Keep the proportions of pictures and pad right and below.
    #[arg(long, conflicts_with_all = ["centre", "crop"])]
    pub letterbox: bool,
    /// Keep the proportions of pictures and pad on both sides.
    #[arg(long, conflicts_with = "crop")]
    pub centre: bool,
    /// Value of padding, 0 to 255 [default: 0].
    #[arg(long, value_name = "V")]
    pub fill: Option<u8>,
    /// Keep the proportions of pictures and cut the middle out.
    #[arg(long)]
    pub crop: bool,
    /// Factor on 0..255 values before mean and std [default: 1/255].
    #[arg(long, value_name = "X")]
    pub scale: Option<f32>,
    /// Subtracted after scaling: one value, or one a channel.
    #[arg(
        long,
        value_delimiter = ',',
        allow_hyphen_values = true,
        value_name = "M[,M,M]"
    )]
    pub mean: Vec<f32>,
    /// Divisor after that: one value, or one a channel.
    #[arg(long, value_delimiter = ',', value_name = "S[,S,S]")]
    pub std: Vec<f32>,
    /// Order of colours in the input [default: rgb].
    #[arg(long, value_parser = ["rgb", "bgr", "gray"])]
    pub channel_order: Option<String>,
    /// Order of the input's axes [default: from its shape].
    #[arg(long, value_parser = ["nchw", "nhwc"])]
    pub layout: Option<String>,
    /// Samples a second that the model wants; sounds are resampled.
    #[arg(long, value_name = "HZ")]
    pub sample_rate: Option<u32>,
}

/// What the bundle says of its answers.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Answers")]
pub struct AnswerFlags {
    /// What makes probabilities of scores, with `--decode top`; `auto` is a softmax where the model has none.
    #[arg(long, value_parser = ["none", "softmax", "sigmoid", "auto"])]
    pub activation: Option<String>,
    /// Scores below are left out of answers [default: 0.25 for boxes].
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    pub threshold: Option<f32>,
    /// Of two boxes of a class that overlap by more than this share of their union, the better one stays [default: 0.45].
    #[arg(long, value_name = "X")]
    pub overlap: Option<f32>,
    /// Most classes of an answer [default: all].
    #[arg(long, value_name = "N")]
    pub answers: Option<u32>,
}

/// Arguments of `compile`.
#[derive(Args)]
pub struct Compile {
    /// The ONNX file.
    pub model: PathBuf,
    /// The bundle to write.
    #[arg(long, short, value_name = "OUT.cygnet")]
    pub output: PathBuf,
    /// Shape (and type) of an input: `x=1,3,224,224`, `x=1,3,48,width:f32`. Repeatable.
    #[arg(long, value_name = "NAME=SHAPE[:TYPE]")]
    pub input: Vec<String>,
    /// Bounds of a symbolic dimension, both included: `width=32..1280`. Repeatable.
    #[arg(long, value_name = "NAME=LO..HI")]
    pub dim: Vec<String>,
    /// An input that continues as an output of the run before: it stays in the bundle. Repeatable.
    #[arg(long, value_name = "IN:OUT")]
    pub state: Vec<String>,
    /// Freeze an input to an array or to numbers: `sr=16000`, `mask=mask.npy`. Repeatable.
    #[arg(long = "const", value_name = "NAME=FILE.npy|NUMBERS")]
    pub constant: Vec<String>,
    /// Arithmetic of the compiled model.
    #[arg(long, value_enum, default_value = "none")]
    pub quantize: Quantize,
    /// Calibration data for `--quantize int8` and `int8x16` (other arithmetic is compared on them): a folder of pictures, sounds or arrays, or an .npz with an axis of samples.
    #[arg(long, value_name = "DIR|FILE.npz")]
    pub calibrate: Option<PathBuf>,
    /// A node that `--quantize` leaves float, by the name it has in the model; `NAME*` means all whose names begin so. Repeatable.
    #[arg(long, value_name = "NAME")]
    pub keep_float: Vec<String>,
    /// Weights of a column that share a scale with `--quantize int4`: a multiple of 16.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(16..=1 << 16))]
    pub weight_group: u32,
    /// Groups of `--quantize int4` have an offset besides their scale: nearer, and larger.
    #[arg(long)]
    pub asymmetric: bool,
    /// How ranges of activations are found: `auto`, `min-max`, `percentile-99.99`, `mse`, `entropy`.
    #[arg(long, value_name = "METHOD", default_value = "auto")]
    pub calibration_method: Method,
    /// Most calibration samples; of more, evenly spread ones are taken.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub calibration_samples: u32,
    /// Points that the score may lose with `--quantize auto`, such as 0.5: of agreement with the float model, or of the metric on `--validate`.
    #[arg(long, value_name = "P", value_parser = points, allow_hyphen_values = true)]
    pub max_drop: Option<f64>,
    /// Longest run on this machine, one thread, in milliseconds, with `--quantize auto`.
    #[arg(long, value_name = "MS", allow_hyphen_values = true)]
    pub max_latency: Option<f64>,
    /// What `--quantize auto` makes least among what keeps the budgets: flash times RAM, flash, or time on this machine.
    #[arg(long, value_enum, default_value = "memory")]
    pub prefer: Wanted,
    /// Labelled data that `--quantize auto` is judged on: a folder with a sub-folder for each class, a .csv or .tsv (columns file, label), an .npz with an array `labels`, a COCO .json.
    #[arg(long, value_name = "DIR|FILE")]
    pub validate: Option<PathBuf>,
    /// Most cases of `--validate`; of more, evenly spread ones are taken.
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    pub validation_samples: u32,
    /// How `--validate` is judged [default: map for COCO, cer with `--decode ctc`, else top1].
    #[arg(long, value_enum)]
    pub metric: Option<Score>,
    /// A metric of your own: a command that gets the path of a bundle in place of {} and prints a number in its last line, more being better.
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["validate", "metric"])]
    pub metric_command: Option<String>,
    /// Largest arena, such as 256K, or with --resources arena and stack: exit code 3 when the model needs more.
    #[arg(long, value_name = "BYTES", value_parser = super::sizes::parse)]
    pub max_ram: Option<u64>,
    /// Run the layers where the arena peaks by bands of rows until it keeps --max-ram, or with --resources arena and stack
    /// keep it: what two bands need is computed twice, and 8-bit results do not change.
    #[arg(long, requires = "max_ram")]
    pub fit: bool,
    /// Largest program, such as 1M, or with --resources code, weights and tables: exit code 3 when the model needs more.
    #[arg(long, value_name = "BYTES", value_parser = super::sizes::parse)]
    pub max_flash: Option<u64>,
    /// Tell what the model's package will take of the microcontroller of --target: RAM with the stack, flash by function.
    /// Builds it with cargo.
    #[arg(long)]
    pub resources: bool,
    /// Where the bundle is to run; small targets get checked for what they cannot do.
    #[arg(long, value_enum, default_value = "host")]
    pub target: Target,
    /// Name in the manifest [default: the file's name].
    #[arg(long)]
    pub name: Option<String>,
    /// Class names, one a line.
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Vocabulary for text, one entry a line [default: the model's metadata `character`].
    #[arg(long, value_name = "FILE")]
    pub vocab: Option<PathBuf>,
    /// How pictures and sounds become the input and the output an answer, in a word: imagenet, ocr-ctc, ocr-boxes, yolo, kws,
    /// embedding; or a .toml file with a table [pipeline] whose keys are flags (fit, mean, std, decode …). Flags overrule it.
    #[arg(long, value_name = "NAME|FILE.toml")]
    pub pipeline: Option<String>,
    /// How the outputs become an answer, in `run` and in applications.
    #[arg(long, value_enum)]
    pub decode: Option<Decode>,
    #[command(flatten)]
    pub answer: AnswerFlags,
    /// Write the bundle although it disagrees with the oracle on a golden example.
    #[arg(long)]
    pub allow_mismatch: bool,
    /// Do not make golden examples (the bundle cannot test itself then).
    #[arg(long)]
    pub no_golden: bool,
    /// Write a page for people: sizes, memory, and what quantising costs in which layer, why, and what helps.
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// Write the result for machines; `-` is stdout.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// How media become the first input.
    #[command(flatten)]
    pub media: Media,
}

/// Which machine code a session uses.
#[derive(Args, Clone, Debug)]
pub struct Machine {
    /// Threads.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: u16,
    /// Instruction set: `auto`, `scalar`, or one of this machine's [default: auto].
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub isa: String,
}

/// Arguments of `run`.
#[derive(Args)]
pub struct Run {
    /// The bundle.
    pub bundle: PathBuf,
    /// A file or numbers for an input; the name may be left out for the first input. Repeatable.
    #[arg(
        long,
        short,
        value_name = "[NAME=]FILE|NUMBERS",
        allow_hyphen_values = true
    )]
    pub input: Vec<String>,
    /// Write one NAME.npy per output into this folder.
    #[arg(long, short, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Machine code.
    #[command(flatten)]
    pub machine: Machine,
    /// Write the result for machines; `-` is stdout.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// How outputs become an answer [default: as the bundle says].
    #[arg(long, value_enum)]
    pub decode: Option<Decode>,
    /// Vocabulary for `--decode ctc`, one entry a line [default: the bundle's].
    #[arg(long, value_name = "FILE")]
    pub vocab: Option<PathBuf>,
    /// Class names, one a line [default: the bundle's].
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// How many classes to print.
    #[arg(long, default_value_t = 5, value_name = "K")]
    pub top: usize,
    /// Cut the sound (or the .npy array, along its first axis) into frames and run one after the other; states carry over.
    #[arg(long)]
    pub stream: bool,
    /// New samples a frame with `--stream`; the rest of the input repeats the samples before [default: the input's length].
    #[arg(long, value_name = "N", requires = "stream")]
    pub hop: Option<usize>,
    /// Length of a frame when the input's length is free.
    #[arg(long, value_name = "N", requires = "stream")]
    pub frame: Option<usize>,
    /// Sides of pictures are rounded to this when both are free.
    #[arg(long, default_value_t = 32, value_name = "N")]
    pub multiple: usize,
    /// How media become the first input.
    #[command(flatten)]
    pub media: Media,
}

/// Arguments of `verify`.
#[derive(Args)]
pub struct Verify {
    /// The ONNX file.
    pub model: PathBuf,
    /// The bundle compiled from it.
    pub bundle: PathBuf,
    /// An array for an input; inputs not given get seeded numbers. Repeatable.
    #[arg(long, value_name = "NAME=FILE.npy|NUMBERS", allow_hyphen_values = true)]
    pub input: Vec<String>,
    /// A value for a free dimension [default: a small one]. Repeatable.
    #[arg(long, value_name = "NAME=VALUE")]
    pub dim: Vec<String>,
    /// Largest accepted error relative to the largest magnitude of an output.
    #[arg(long, default_value_t = 1e-4, value_name = "E")]
    pub tolerance: f64,
    /// Seed of the numbers.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Machine code.
    #[command(flatten)]
    pub machine: Machine,
    /// Write the result for machines; `-` is stdout.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Arguments of `bench`.
#[derive(Args)]
pub struct Bench {
    /// The bundle.
    pub bundle: PathBuf,
    /// Machine code.
    #[command(flatten)]
    pub machine: Machine,
    /// Measured runs [default: about two seconds' worth, at least 10].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: Option<u32>,
    /// A value for a free dimension [default: the largest]. Repeatable.
    #[arg(long, value_name = "NAME=VALUE")]
    pub dim: Vec<String>,
    /// Time of every step, and how near this machine's limits it comes.
    #[arg(long)]
    pub profile: bool,
    /// Write the profile for people: one HTML file with a roofline picture.
    #[arg(long, value_name = "FILE.html", requires = "profile")]
    pub report: Option<PathBuf>,
    /// Write the result for machines; `-` is stdout.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Arguments of `inspect`.
#[derive(Args)]
pub struct Inspect {
    /// The bundle.
    pub bundle: PathBuf,
    /// Print the program as text.
    #[arg(long)]
    pub dump: bool,
    /// Print the names of the operators alone: the `CYGNET_OPERATORS` of a library that runs this bundle.
    #[arg(long, conflicts_with = "dump")]
    pub operators: bool,
    /// Write the result for machines; `-` is stdout.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Arguments of `package`.
#[derive(Args)]
pub struct Package {
    /// The bundle.
    pub bundle: PathBuf,
    /// What the package is for.
    #[arg(long, value_enum)]
    pub target: PackageTarget,
    /// The application's language.
    #[arg(long, value_enum, default_value = "rust")]
    pub lang: Language,
    /// The interpreter and the program in place of source: for models that are updated in the field, have free dimensions,
    /// or operators without a source form.
    #[arg(long)]
    pub interpreter: bool,
    /// Processor to tell RAM, stack and flash of, for which the package is built with cargo; with `--lang c` the libraries
    /// stay. Repeatable [default with `--lang c`: cortex-m4f].
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(CPUS.iter().map(|c| c.name)))]
    pub cpu: Vec<String>,
    /// Most RAM, such as 64K: the arena, and the stack where --cpu tells it. Exit code 3 when the model needs more.
    #[arg(long, value_name = "BYTES", value_parser = super::sizes::parse)]
    pub max_ram: Option<u64>,
    /// Most flash, such as 256K: weights, and code where --cpu tells it. Exit code 3 when the model needs more.
    #[arg(long, value_name = "BYTES", value_parser = super::sizes::parse)]
    pub max_flash: Option<u64>,
    /// Folder to write [default: the name].
    #[arg(long, short, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Name of the package: letters, digits and underscores [default: the bundle's].
    #[arg(long)]
    pub name: Option<String>,
    /// Write what was packaged, for machines; `-` is stdout.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// What a package is for.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PackageTarget {
    /// Microcontrollers: source text with weights in flash and one static arena.
    Firmware,
}

/// The language that an application is written in.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// A `no_std` crate.
    Rust,
    /// A header and static libraries, for CMake, Zephyr, ESP-IDF and Arduino.
    C,
}

/// Arguments of `new`.
#[derive(Args)]
pub struct New {
    /// The project's folder, called as its model.
    pub name: PathBuf,
    /// What the project is about.
    #[arg(long, value_enum, default_value = "image-classification")]
    pub template: Template,
}

/// What a project starts from.
#[derive(Clone, Copy, ValueEnum)]
pub enum Template {
    /// Pictures in folders, a folder for each class.
    ImageClassification,
    /// WAV files in folders, a folder for each word.
    KeywordSpotting,
    /// Rows of a CSV file, of which one column holds the class.
    Tabular,
    /// Rows, sounds or pictures that are normal, to tell those that are not.
    AnomalyDetection,
}

/// Arguments of `train`.
#[derive(Args)]
pub struct Train {
    /// The project's folder.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub project: PathBuf,
    /// Write the figures for machines; `-` is stdout.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Arguments of `distill`.
#[derive(Args)]
pub struct Distill {
    /// The project's folder.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub project: PathBuf,
    /// A model that teaches in place of the project's teacher.
    #[arg(long, value_name = "FILE")]
    pub teacher: Option<PathBuf>,
    /// Write the figures for machines; `-` is stdout.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Arguments of `sweep`.
#[derive(Args)]
pub struct Sweep {
    /// The project's folder.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub project: PathBuf,
    /// Trials at a time.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub jobs: usize,
    /// The folder that the best candidate becomes a project in [default: build/best in the project's folder].
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Submit the trials to Slurm.
    #[arg(long)]
    pub slurm: bool,
    /// An option of sbatch for every array. Repeatable.
    #[arg(
        long,
        value_name = "OPTION",
        requires = "slurm",
        allow_hyphen_values = true
    )]
    pub slurm_option: Vec<String>,
    /// The jobs of an array.
    #[arg(long, hide = true, requires = "index")]
    pub step: Option<PathBuf>,
    /// Which of them this process does.
    #[arg(long, hide = true, requires = "step")]
    pub index: Option<usize>,
    /// Write the figures for machines; `-` is stdout.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Arguments of `build`.
#[derive(Args)]
pub struct Build {
    /// The project's folder.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub project: PathBuf,
    /// Write the figures for machines; `-` is stdout.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Arguments of `test`.
#[derive(Args)]
pub struct Test {
    /// The project's folder.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub project: PathBuf,
    /// Only these tests.
    #[arg(long, value_enum)]
    pub only: Option<Suite>,
    /// Write the results as JUnit XML.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write the results for machines; `-` is stdout.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// A kind of tests.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// Whether learning works.
    Training,
    /// Whether the bundle is as good as it has to be.
    Validation,
    /// Whether it answers as its examples say.
    Functional,
}
