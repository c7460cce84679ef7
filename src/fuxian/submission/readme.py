"""The README in the official outline; what Fuxian knows stands between markers and is written anew each time: what was
measured, and what paper.toml says.

<!-- fuxian:results -->
...
<!-- fuxian:end -->
"""

from __future__ import annotations

import re
import shlex

from fuxian.report.terms import glossary
from fuxian.submission.manifest import Manifest
from fuxian.submission.pictures import CURVE
from fuxian.submission.results import Result, environment_lines, results_table
from fuxian.submission.templates import render

FILES = {"en": "README.md", "zh": "README_cn.md"}
USUAL_COMMANDS = {
    "train": "python tools/train.py --out=output",
    "evaluate": "python tools/eval.py --out=output",
    "predict": "python tools/predict.py --out=output",
    "export": "python tools/export.py --out=output/exported",
    "infer": "python tools/infer.py --exported=output/exported --out=output/infer",
}
PURPOSES = {
    "paper.toml": ("the paper's claims", "论文的结果声明"),
    "fuxian.toml": ("what is submitted", "提交清单"),
    "recipe.py": ("the parts of the experiment", "实验的各部分"),
    "model.py": ("the network", "网络"),
    "data.py": ("the data", "数据"),
    "loss.py": ("the loss", "损失"),
    "metric.py": ("the metric", "指标"),
    "reference": ("the reference implementation", "参考实现"),
    "tools": ("training, evaluation, prediction, export, inference", "训练、评估、预测、导出、推理"),
    "scripts": ("the same as shell scripts", "对应的脚本"),
    "test_tipc": ("automated tests (TIPC)", "自动化测试（TIPC）"),
    "lite_data": ("a few examples of each split", "少量数据"),
    "logs": ("training logs", "训练日志"),
    "weights": ("trained weights", "训练好的权重"),
    "results": ("measurements and verdicts", "测得的数据与判定"),
    "log_reprod": ("alignment with the reference", "与参考代码的对齐结果"),
    "tests": ("tests", "测试"),
    "alignment": ("recordings of the alignment", "对齐的记录"),
    "submission": ("thread reply, mails, system report", "回帖、邮件、系统报告"),
    "wheels": ("Fuxian itself, to be installed from", "Fuxian 的安装包"),
    "checkpoints": ("checkpoints kept for a replay", "供重放的检查点"),
    "method.md": ("what the method is", "方法说明（英文）"),
    "method_zh.md": ("what the method is, in Chinese", "方法说明"),
    "terms_zh.toml": ("titles and labels in Chinese", "标题与标签的中文"),
    "draw.py": ("the test drawn for a ruling", "判定时抽取的测试"),
    "requirements.txt": ("what is installed", "依赖"),
}
_SECTION = re.compile(r"(<!-- fuxian:(\w+) -->\n)(.*?)(<!-- fuxian:end -->)", re.DOTALL)


def write_readmes(manifest: Manifest, results: list[Result]) -> list[str]:
    """Writes a README where there is none in its language, and fills the marked sections; the files written."""
    written = []
    for language, name in FILES.items():
        file = manifest.folder / name
        before = file.read_text(encoding="utf-8") if file.is_file() else None
        fresh = _new(manifest, f"{name}.j2")
        of_paper = {found.group(2): found.group(3).strip() for found in _SECTION.finditer(fresh)}
        text = before if before is not None else fresh
        text = fill(text, of_paper | _sections(manifest, results, language))
        if text != before:
            file.write_text(text, encoding="utf-8")
            written.append(name)
    return written


def fill(text: str, sections: dict[str, str]) -> str:
    """The text with every marked section that is known replaced."""

    def replace(found: re.Match[str]) -> str:
        if found.group(2) not in sections:
            return found.group()
        return f"{found.group(1)}{sections[found.group(2)]}\n{found.group(4)}"

    return _SECTION.sub(replace, text)


def structure(manifest: Manifest, language: str) -> str:
    """The top of the repository as a list, with what each part is for."""
    names = sorted(
        (path for path in manifest.folder.iterdir() if not path.name.startswith(".")),
        key=lambda path: (path.is_file(), path.name),
    )
    lines = []
    for path in names:
        purpose = PURPOSES.get(path.name, ("", ""))[language == "zh"]
        lines.append(f"{path.name}{'/' * path.is_dir()}".ljust(20) + (f"  # {purpose}" if purpose else ""))
    return "```\n" + "\n".join(line.rstrip() for line in lines) + "\n```"


METHOD = {"en": "method.md", "zh": "method_zh.md"}
"""What the method is and what mattered in reproducing it, beside fuxian.toml or beside the paper's paper.toml."""
NO_METHOD = {
    "en": "The method is the paper's; `{recipe}` holds the experiment's parts: model, data, loss, optimizer, metric.",
    "zh": "方法见论文；实验的各个部分（模型、数据、损失、优化器、指标）见 `{recipe}`。",
}
COMMAND_NAMES = {"train": "训练", "evaluate": "评估", "predict": "预测", "export": "导出", "infer": "推理"}


def method(manifest: Manifest, language: str) -> str:
    """The section on the method, as Markdown without a heading."""
    for folder in (manifest.folder, manifest.paper.folder):
        file = folder / METHOD[language]
        if file.is_file():
            return file.read_text(encoding="utf-8").strip()
    return NO_METHOD[language].format(recipe=manifest.recipe or "README.md")


def _new(manifest: Manifest, template: str) -> str:
    commands = USUAL_COMMANDS
    if manifest.recipe is None:
        commands = {name: shlex.join(command.run) for name, command in manifest.commands.items()}
    return render(
        f"official/{template}",
        paper=manifest.paper,
        claims=[manifest.paper.claim(name) for name in manifest.claims],
        environment=manifest.environment,
        licence=manifest.licence,
        model=manifest.paper.id,
        commands=commands,
        names=COMMAND_NAMES,
        term=glossary("zh", manifest.paper.folder),
    )


def _curves(manifest: Manifest, language: str) -> list[str]:
    """The learning curves that are there, as Markdown pictures."""
    found = []
    term = glossary(language, manifest.paper.folder)
    for name in manifest.claims:
        path = CURVE.format(claim=name)
        if (manifest.folder / path).is_file():
            title = term(manifest.paper.claim(name).title)
            words = f"学习曲线：{title}" if language == "zh" else f"Learning curve: {title}"
            found.append(f"![{words}]({path})")
    return found


def _sections(manifest: Manifest, results: list[Result], language: str) -> dict[str, str]:
    team = manifest.team
    zh = language == "zh"
    model = [
        f"- {'发布者' if zh else 'publisher'}: {team.name}" if team else "",
        f"- {'代码' if zh else 'code'}: {team.repo}" if team and team.repo else "",
        f"- {'在线运行' if zh else 'run online'}: {team.aistudio}" if team and team.aistudio else "",
        *environment_lines(results, manifest.environment.python),
    ]
    return {
        "results": "\n\n".join([results_table(results, language), *_curves(manifest, language)]),
        "method": method(manifest, language),
        "structure": structure(manifest, language),
        "model": "\n".join(line for line in model if line),
    }
