"""Command line of the engine: serve, generate, trace, export. JSON goes to standard output, logs to standard error.

Exit codes: 0 done, 1 failed with a message, 2 wrong usage, 130 interrupted.
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from engine.trace import RoutingTrace

MODEL_IN_THE_BOX = Path(__file__).resolve().parents[1] / "resources" / "models" / "nano"


def main(arguments: Sequence[str] | None = None, *, out: TextIO | None = None) -> int:
    """Run one command; give the exit code. `out` takes the place of standard output, which is claimed otherwise."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    out = out or _claim_stdout()
    commands: dict[str, Callable[[argparse.Namespace, TextIO], None]] = {
        "serve": _serve, "generate": _generate, "trace": _trace, "export": _export}
    try:
        commands[options.command](options, out)
    except (OSError, ValueError) as error:
        if getattr(options, "json", False):
            _print_json({"error": {"message": str(error)}}, out)
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine", description="Run mixture-of-experts models.")
    commands = parser.add_subparsers(dest="command", required=True)
    model = argparse.ArgumentParser(add_help=False)
    model.add_argument("--model", type=Path, default=MODEL_IN_THE_BOX, help="folder of a checkpoint (default: Nano)")
    common = argparse.ArgumentParser(add_help=False, parents=[model])
    common.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")

    serve = commands.add_parser("serve", parents=[common], help="serve the API on 127.0.0.1")
    serve.add_argument("--port", type=int, default=0, help="0 (default) takes a free one")
    serve.add_argument("--exit-with-parent", action="store_true", help="end when standard input closes")

    generate = commands.add_parser("generate", parents=[common], help="answer prompts as turns of one conversation")
    generate.add_argument("--prompt", action="append", required=True, help="each further one is the next turn")
    generate.add_argument("--system", default="", help="system text")
    generate.add_argument("--seed", type=int)
    generate.add_argument("--temperature", type=float)
    generate.add_argument("--max-tokens", type=int, help="most tokens of one answer")
    generate.add_argument("--interventions", default="[]", metavar="JSON",
                          help='changes to routing as the API takes them: [{"layers": [1, 5], "experts": [7], '
                               '"action": "mute"}]')
    generate.add_argument("--out", type=Path, help="folder for the files of the answers")
    generate.add_argument("--trace", type=Path, help="write the routing of the last turn to this .moetrace file")
    generate.add_argument("--json", action="store_true", help="one JSON object instead of text")

    trace = commands.add_parser("trace", parents=[common],
                                help="one forward pass, with every expert that fired, or the statistics of a trace")
    tokens = trace.add_mutually_exclusive_group(required=True)
    tokens.add_argument("--prompt", help="plain text, no chat template")
    tokens.add_argument("--tokens", type=_token_ids, help="token numbers: 1,2,3")
    tokens.add_argument("file", nargs="?", type=Path,
                        help="a .moetrace file, or with --config vLLM's .npy, SGLang's int32 or a saved answer")
    trace.add_argument("--config", type=Path, help="config.json of the model that FILE was recorded of")
    trace.add_argument("--out", type=Path, help=".moetrace file to write")
    trace.add_argument("--stats", action="store_true", help="usage, specialisation and checks, as the window shows")
    trace.add_argument("--part", choices=("answer", "prompt", "all"),
                       help="tokens for --stats (default: the answer where there is one)")
    trace.add_argument("--json", action="store_true", help="print top logits and experts, or the statistics")

    export = commands.add_parser("export", parents=[model], help="write a model for llama.cpp")
    export.add_argument("--gguf", type=Path, required=True, help=".gguf file to write")
    export.add_argument("--type", choices=("f32", "f16", "bf16", "q8_0"),
                        help="how weights are stored (default: f32, exact, for small models; bf16 for others)")
    export.add_argument("--json", action="store_true", help="print what was written as JSON")
    return parser


def _token_ids(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _claim_stdout() -> TextIO:
    """Keep standard output for our own lines: whatever else prints goes to standard error from now on."""
    sys.stdout.flush()
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return out


def _print_json(value: dict[str, Any], out: TextIO) -> None:
    out.write(json.dumps(value, ensure_ascii=False) + "\n")
    out.flush()


def _check_model(folder: Path) -> Path:
    """Say what to do when the model in the box is not there.

    Raises:
        ValueError: it is the default and does not exist.
    """
    if folder == MODEL_IN_THE_BOX and not folder.is_dir():
        raise ValueError(f"The model in the box is not there ({folder}). Train it with `make train`, or give --model "
                         "with the folder of a checkpoint.")
    return folder


def _serve(options: argparse.Namespace, out: TextIO) -> None:
    # Each command imports its own: serving must answer before torch is loaded.
    from engine.serve import ServeOptions, serve

    serve(ServeOptions(model=options.model, port=options.port, device=options.device,
                       exit_with_parent=options.exit_with_parent), out)


def _generate(options: argparse.Namespace, out: TextIO) -> None:
    from engine.generate import (
        TurnOptions,
        TurnResult,
        converse,
        open_worker,
        read_interventions,
        write_files,
    )

    def tell(text: str) -> None:
        if not options.json:
            out.write(text)
            out.flush()

    if options.max_tokens is not None and options.max_tokens < 1:
        raise ValueError("--max-tokens must be at least 1.")
    worker = open_worker(_check_model(options.model), device=options.device, report=logging.getLogger(__name__).info)
    results: list[TurnResult] = []
    try:
        turn_options = TurnOptions(
            system=options.system, seed=options.seed, temperature=options.temperature, max_tokens=options.max_tokens,
            capture="full" if options.trace else "off",
            interventions=read_interventions(options.interventions, worker))
        for result in converse(worker, options.prompt, turn_options, tell=tell):
            results.append(result)
            tell("\n")
            if options.out:
                write_files(result.applied.files, options.out)
            if options.trace:
                result.trace.save(options.trace)
    finally:
        worker.close()
    if options.json:
        _print_json({"turns": [_turn_json(result) for result in results]}, out)


def _turn_json(result: Any) -> dict[str, Any]:
    changed = {change.path: result.applied.files[change.path] for change in result.applied.changes}
    return {
        "text": result.text, "files": changed, "rejects": [asdict(reject) for reject in result.applied.rejects],
        "finish_reason": result.end.reason, "prompt_tokens": result.end.prompt_tokens,
        "completion_tokens": result.end.completion_tokens,
        "timings": {**asdict(result.end.timings), "cached_tokens": result.end.cached_tokens, "seed": result.end.seed},
    }


def _trace(options: argparse.Namespace, out: TextIO) -> None:
    trace, printed = _open_trace(options) if options.file else _forward_trace(options)
    if options.out:
        trace.save(options.out)
    if options.stats:
        from engine.trace_report import report, report_text

        statistics = report(trace, options.part)
        if not options.json:
            out.write(report_text(statistics))
        printed = {**printed, "stats": statistics}
    if options.json:
        _print_json(printed, out)


def _forward_trace(options: argparse.Namespace) -> "tuple[RoutingTrace, dict[str, Any]]":
    from engine.trace_prompt import trace_tokens

    if not options.out and not options.stats:
        raise ValueError("Nothing to do: give --out FILE.moetrace, --stats, or both.")
    result = trace_tokens(_check_model(options.model), text=options.prompt or "", token_ids=options.tokens or (),
                          device=options.device)
    experts = {str(layer): result.trace.ids[:, index].tolist() for index, layer in enumerate(result.trace.layers)}
    return result.trace, {"top_logits": result.top_logits, "experts": experts}


def _open_trace(options: argparse.Namespace) -> "tuple[RoutingTrace, dict[str, Any]]":
    from engine.trace_import import ConfigNeeded, open_trace

    if not options.out and not options.stats:
        raise ValueError("Nothing to do: give --stats, --out FILE.moetrace to write a copy, or both.")
    try:
        config = json.loads(options.config.read_text("utf-8")) if options.config else None
        imported = open_trace(options.file, config)
    except ConfigNeeded as error:
        raise ValueError(f"{error} On the command line: --config CONFIG.JSON.") from error
    return imported.trace, {"source": imported.source, "notes": imported.notes}


def _export(options: argparse.Namespace, out: TextIO) -> None:
    from engine.weights.gguf import export_gguf

    report = export_gguf(_check_model(options.model), options.gguf, file_type=options.type)
    if options.json:
        _print_json(asdict(report), out)
    else:
        out.write(f"{report.file}: {report.num_tensors} tensors, {report.num_bytes:,} bytes\n")


if __name__ == "__main__":
    sys.exit(main())
