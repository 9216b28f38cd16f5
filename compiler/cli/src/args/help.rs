//! Examples at the end of each sub-command's help.

pub const DEMO_HELP: &str = "Examples:
  cygnet demo
      Trains on embedded handwritten digits, distils, goes on in 8-bit integers, compiles and runs, in under a minute.
  cygnet demo --output tour
      Also leaves the project, its bundle, a page of the build and a picture in the folder `tour` for the next commands:
      cygnet run tour/build/digits.cygnet --input tour/digit.png
      cygnet test --project tour";

pub const NEW_HELP: &str = "Examples:
  cygnet new flowers --template image-classification
      Makes flowers/cygnet.toml and flowers/data: put pictures in flowers/data/CLASS/, then
      cygnet build --project flowers";

pub const TRAIN_HELP: &str = "Examples:
  cygnet train
      Trains the network of ./cygnet.toml, and its teacher first if there is one. A run that was interrupted goes on where
      it stopped, with the same result; one that is done and whose data and settings are the same is not done again.
  cygnet train --project flowers --json -
      Figures for machines.";

pub const BUILD_HELP: &str = "Examples:
  cygnet build
      Trains what is not trained, compiles build/NAME.cygnet as [build] of ./cygnet.toml says, counts how many of the test
      samples the bundle gets right, and writes cygnet.lock. What has not changed is not done again.";

pub const TEST_HELP: &str = "Examples:
  cygnet test
      Trains a little to see whether training works (one batch is learnt by heart, gradients equal finite differences, the
      loss falls, an interrupted run ends as another), builds, and asks of the bundle what [test] of ./cygnet.toml says:
        [test]
        accuracy = 0.95          # of the samples kept back; also class_accuracy, max_drop, max_ram, max_flash
        [[test.slices]]          # a bar for some groups of [data] group
        name = 'children'
        groups = ['anna', 'ben']
        accuracy = 0.9
        [[test.examples]]        # files with the answer they must get
        file = 'examples/rose.jpg'
        class = 'rose'
        score = 0.5
  cygnet test --only validation --junit junit.xml
      For continuous integration: exit code 1 when a test fails.";

pub const DISTILL_HELP: &str = "Examples:
  cygnet distill
      Trains the teacher of ./cygnet.toml, or asks the one in [teacher] file, then the model with its answers (the share and
      the temperature are teacher_share and temperature of [train]). What has not changed is not done again.
  cygnet distill --teacher resnet.onnx
      Another teacher than that of ./cygnet.toml: an ONNX file or a bundle for the same classes in the same order.";

pub const SWEEP_HELP: &str = "Examples:
  cygnet sweep --jobs 2
      Tries settings of ./cygnet.toml, as its [sweep] says, two at a time; prints the candidates that no other is better than,
      writes build/sweep.html, and the best as a project in build/best. A sweep that was interrupted goes on.
        [sweep]
        trials = 40
        first_epochs = 3                # compared after 3 epochs, then 9, 27 ...; the best third of each goes on
        objective = 'accuracy'          # or flash, ram, latency: what is best within the limits
        [sweep.limits]                  # of the compiled candidate
        max_flash = '64K'
        max_ram = '32K'
        max_latency_ms = 20             # on this machine, or for a microcontroller with clock_mhz = 80
        accuracy = 0.95
        [sweep.space]                   # any settings by their place in the file
        'model.width' = { low = 0.25, high = 1.0, step = 0.05 }
        'train.rate' = { low = 0.0005, high = 0.01, log = true }
        'data.size' = [[32, 32], [48, 48]]
        'build.quantize' = ['int8', 'fp16']
  cygnet sweep --output ../small --json sweep.json
      The best goes to another folder: `cygnet build --project ../small` builds it. Exit code 3 when no trial keeps all limits.
  cygnet sweep --slurm --jobs 16 --slurm-option=--partition=cpu --slurm-option=--cpus-per-task=4
      Trials are tasks of Slurm job arrays, 16 at a time; the project's folder is one that all nodes see.";

pub const COMPILE_HELP: &str = "Examples:
  cygnet compile mobilenetv2.onnx -o mobilenetv2.cygnet
      A model whose shapes are known needs nothing else.
  cygnet compile keywords.tflite -o keywords.cygnet
      A TFLite model, of floats or quantised.
  cygnet compile mobilenet.onnx -o model.cygnet --pipeline imagenet --labels labels.txt
      Pictures are cropped and normalised as ImageNet's are, and the answer is the five best classes: in `run`, and in
      applications.
  cygnet compile rec.onnx -o rec.cygnet --input x=1,3,48,width --dim width=32..1280 --decode ctc
      A free width: memory is planned for 1280, every width between the bounds runs.
  cygnet compile vad.onnx -o vad.cygnet --input input=1,512 --const sr=16000 --state state:stateN
      Freezes an input to a value; the recurrent state stays inside the bundle across runs.
  cygnet compile net.onnx -o net.cygnet --target cortex-m4 --max-ram 256K --max-flash 1M
      Budgets are hard: exit code 3, and the message says what peaks.
  cygnet compile net.onnx -o net.cygnet --labels labels.txt --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225
      Labels and normalisation travel in the bundle: `cygnet run net.cygnet --input cat.jpg` needs no flags.
  cygnet compile net.onnx -o net.cygnet --quantize int8 --calibrate photos
      8-bit weights and activations; a hundred pictures like those the model will see give the ranges.
  cygnet compile net.onnx -o net.cygnet --quantize int8 --calibrate photos --report net.html
      The same with a page that tells which layers lose accuracy, why, and what helps.
  cygnet compile bert.onnx -o bert.cygnet --quantize dynamic
      8-bit weights, and matrix products of integers whose ranges are found while they run: needs no data.
  cygnet compile net.onnx -o net.cygnet --quantize int4 --weight-group 64
      4-bit weights with a scale for 64 of them; `int8-weights`, `fp16` and `palette` lose less or other things.
  cygnet compile net.onnx -o net.cygnet --quantize auto --max-drop 0.5 --calibrate photos
      Each layer gets the arithmetic that agrees with the float model on all but 0.5 % of what was kept back.
  cygnet compile net.onnx -o net.cygnet --quantize auto --max-drop 0.5 --calibrate photos --validate labelled --max-flash 1M
      The same with real accuracy (labelled/CLASS/*.jpg) and a budget; exit code 3 and a trade-off table when it cannot be.

Bounds LO..HI include both ends. Sizes take K, M, G (powers of 1024). Nothing is written when something fails.";

pub const RUN_HELP: &str = "Examples:
  cygnet run digits.cygnet --input digit_7.png
      A picture: resized and normalised as the bundle says; prints the best classes.
  cygnet run rec.cygnet --input line.png --decode ctc
      Prints the line of text.
  cygnet run det.cygnet --input page.jpg --decode db --json boxes.json
      Prints boxes around text in pixels of the picture.
  cygnet run vad.cygnet --input speech.wav --sample-rate 16000 --stream
      Cuts the sound into frames of the input's length, keeps the state, prints one result a frame.
  cygnet run net.cygnet --input a=a.npy --input b=b.npy --output results
      Arrays in, one NAME.npy per output.
  cygnet run net.cygnet --input inputs.npz --input scale=0.5
      An .npz feeds every input that it names; numbers may be written out.

Inputs by extension: .npy, .npz, .png .jpg .jpeg .webp .bmp, .wav, .raw .bin (little-endian bytes).";

pub const VERIFY_HELP: &str = "Examples:
  cygnet verify mobilenetv2.onnx mobilenetv2.cygnet
      Feeds both the same seeded input; a table shows every layer that survives in the bundle.
  cygnet verify net.onnx net.cygnet --input x=photo.npy --tolerance 1e-3 --json report.json
      A real input and another tolerance.

The oracle is tract, which knows nothing of Cygnet's compiler; it does not read TFLite models, which are compared with
the unoptimised graph on plain code. Exit code 1 when an output is further away than the
tolerance (relative to the output's largest magnitude) and by more than 1e-6.";

pub const BENCH_HELP: &str = "Examples:
  cygnet bench net.cygnet
  cygnet bench net.cygnet --threads 4 --runs 200 --json bench.json
  cygnet bench net.cygnet --profile
      Time, arithmetic and bytes of every step, and how near this machine's limits it comes.
  cygnet bench net.cygnet --profile --report net.html
      The same as a page with a roofline picture.
  cygnet bench net.cygnet --isa scalar
      Without vector instructions.";

pub const PACKAGE_HELP: &str = "Examples:
  cygnet package keywords.cygnet --target firmware
      A Rust crate in the folder `keywords`: no heap, no interpreter, no parser, weights in flash, one arena.
  cygnet package keywords.cygnet --target firmware -o model --name wake_word
      Another folder and another name.
  cygnet package keywords.cygnet --target firmware --interpreter
      The interpreter with the operators of this model, over the program in flash: another program may replace it.
  cygnet package keywords.cygnet --target firmware --lang c --cpu cortex-m4f --cpu riscv32imc
      A header and static libraries, which cargo builds (rustup target add thumbv7em-none-eabihf): a folder that CMake,
      Zephyr, ESP-IDF and Arduino take as it is.

The crate calls the kernels that the model uses one after the other; the runtime's sources lie beside it.";

pub const INSPECT_HELP: &str = "Examples:
  cygnet inspect net.cygnet
  cygnet inspect net.cygnet --dump
      The program as text: every step with its tensors and places.
  cygnet inspect net.cygnet --json - | jq .memory
  CYGNET_OPERATORS=\"$(cygnet inspect net.cygnet --operators)\" cargo build --profile device -p cygnet-c
      A C library with the operators of this bundle alone.";

pub const COMPLETIONS_HELP: &str = "Examples:
  cygnet completions bash > ~/.local/share/bash-completion/completions/cygnet
  cygnet completions zsh > ~/.zfunc/_cygnet
  cygnet completions fish > ~/.config/fish/completions/cygnet.fish";

pub const MAN_HELP: &str = "Examples:
  cygnet man | man -l -
  cygnet man --output man1";
