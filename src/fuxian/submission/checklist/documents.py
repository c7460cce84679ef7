"""Checks on the layout, the README, the requirements and the licence."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from fuxian.submission.checklist.finding import Result, counted, failed, listed, passed
from fuxian.submission.checklist.submitted_files import CODE, SubmittedFiles

OUTLINES = {
    "2021 contest": {
        "一、简介 / Introduction": ("简介", "introduction"),
        "二、复现精度 / Results": ("复现精度", "复现结果", "result", "accuracy"),
        "三、数据集 / Dataset": ("数据集", "dataset"),
        "四、环境依赖 / Environment": ("环境依赖", "运行环境", "environment", "requirement", "dependenc"),
        "五、快速开始 / Quick start": ("快速开始", "quick start", "quickstart", "getting started"),
        "六、代码结构 / Code structure": ("代码结构", "code structure", "structure of the code"),
        "七、模型信息 / Model information": ("模型信息", "model info"),
    },
    "later template": {
        "1. 简介 / Introduction": ("简介", "introduction"),
        "2. 数据集和复现精度 / Dataset and results": ("复现精度", "result", "accuracy"),
        "3. 准备数据与环境 / Preparation": ("准备", "prepar"),
        "4. 开始使用 / Usage": ("开始使用", "usage", "getting started"),
        "5. 模型推理部署 / Inference and deployment": ("推理部署", "模型推理", "inference", "deploy"),
        "6. 自动化测试脚本 / Automated tests (TIPC)": ("自动化测试", "tipc", "automated test"),
        "7. LICENSE": ("license", "licence", "许可"),
        "8. 参考链接与文献 / References": ("参考", "reference"),
    },
}
HEADER = re.compile(r"(?i)licensed under the|SPDX-License-Identifier|copyright|licen[sc]e:")
"""What one line of a licence header looks like."""
HEADER_LINES = 30
LONGEST_REQUIREMENT = 1000
MOST_REQUIREMENTS = 2000
MOST_LINES = 50_000
"""Of a README that are looked at."""
LARGEST_LITE_DATA = 20_000_000


def layout(tree: SubmittedFiles) -> Result:
    """README.md, LICENSE and requirements at the top; names in snake_case."""
    top = {path.lower() for path in tree.files if "/" not in path}
    missing = []
    if not any(re.fullmatch(r"readme(_(cn|zh|en|ch))?\.md", name) for name in top):
        missing.append("README.md")
    if not any(re.fullmatch(r"licen[sc]e(\.txt|\.md)?", name) for name in top):
        missing.append("LICENSE")
    if missing:
        return failed(f"missing at the top: {listed(missing)}", "add it, as in the Contrib layout")
    for path in tree.named(".py"):
        if any("-" in part or " " in part for part in PurePosixPath(path).parts):
            return failed("names are snake_case, without '-' or spaces", "rename it", path)
    return passed("the files of the Contrib layout are there")


def readme(tree: SubmittedFiles) -> Result:
    """One of the two outlines that the official guides ask for, Chinese or English."""
    pages = [path for path in sorted(tree.files) if re.fullmatch(r"(?i)readme(_\w+)?\.md", path)]
    if not pages:
        return failed("there is no README.md", "write one in the official outline")
    nearest: tuple[list[str], str, str] | None = None
    for page in pages:
        headings = [text.casefold() for _, text in headings_of(tree.text(page))]
        for outline, sections in OUTLINES.items():
            missing = [
                title
                for title, words in sections.items()
                if not any(word in heading for heading in headings for word in words)
            ]
            if not missing:
                return passed(f"all sections of the {outline} outline", page)
            if nearest is None or len(missing) < len(nearest[0]):
                nearest = missing, outline, page
    assert nearest is not None  # noqa: S101 - there is a page
    missing, outline, page = nearest
    return failed(
        f"sections of the {outline} outline are missing: {listed(missing, 8)}", "add these headings", page, 1
    )


def headings_of(text: str) -> list[tuple[int, str]]:
    """Line and text of every Markdown heading outside fenced code."""
    found: list[tuple[int, str]] = []
    fence = ""
    previous = ""
    for number, line in enumerate(text.splitlines()[:MOST_LINES], start=1):
        marker = re.match(r"\s{0,3}(`{3,}|~{3,})", line)
        if marker:
            kind = marker.group(1)[0]
            fence = "" if fence == kind else fence or kind
        elif not fence:
            if heading := re.match(r"\s{0,3}#{1,6}\s+", line):
                found.append((number, line[heading.end() :].rstrip().rstrip("#").rstrip()))
            elif re.fullmatch(r"\s{0,3}(=+|-{3,})\s*", line) and previous.strip():
                found.append((number - 1, previous.strip()))
        previous = line
    return found


FIND_LINKS = re.compile(r"(--find-links|-f)[ =]([\w./-]+)")
"""The one option that a requirements file may have: a folder of wheels that the submission carries."""
ON_NO_INDEX = frozenset({"fuxian"})
"""Packages that no index has."""


def requirements(tree: SubmittedFiles) -> Result:
    """A requirements file that names PaddlePaddle, and nothing that cannot be installed as it stands.

    Packages come from the index, or from wheels that the submission carries; what no index has must be among these.
    """
    file = tree.manifest.environment.requirements
    if file not in tree.files:
        return failed(
            "the requirements file is missing", "list PaddlePaddle and every package the code imports", file
        )
    named: dict[str, tuple[int, Requirement]] = {}
    carried: dict[str, set[str]] = {}
    lines = tree.text(file).splitlines()
    if len(lines) > MOST_REQUIREMENTS:
        return failed(
            f"it has more than {MOST_REQUIREMENTS} lines", "list the packages that the code imports", file
        )
    for number, raw in enumerate(lines, start=1):
        line = re.sub(r"(^|\s)#.*$", "", raw[:LONGEST_REQUIREMENT]).strip()
        if not line:
            continue
        if links := FIND_LINKS.fullmatch(line):
            wheels = _wheels(tree, links.group(2))
            if not wheels:
                return failed(
                    f"there is no wheel in {links.group(2)}/",
                    "`fuxian package` puts Fuxian's there",
                    file,
                    number,
                )
            carried |= wheels
            continue
        try:
            requirement = Requirement(line)
        except (InvalidRequirement, RecursionError):
            return failed(
                f"this is no package with a version: {line[:60]}",
                "name packages alone, such as numpy>=1.20; URLs, paths and other options than --find-links FOLDER are"
                " not installed",
                file,
                number,
            )
        if requirement.url:
            return failed(
                "packages come from the index, not from a URL", "name a released version", file, number
            )
        named[canonicalize_name(requirement.name)] = number, requirement
    if not {"paddlepaddle", "paddlepaddle-gpu"} & named.keys():
        return failed("PaddlePaddle is not named", "add paddlepaddle with its version", file, 1)
    for name, (number, requirement) in named.items():
        fitting = any(
            requirement.specifier.contains(version, prereleases=True) for version in carried.get(name, ())
        )
        if name in carried and not fitting:
            return failed(
                f"the wheel of {name} is another version than {requirement.specifier}",
                "ask for that one",
                file,
                number,
            )
        if name in ON_NO_INDEX and not fitting:
            return failed(
                f"{name} is on no index, and no wheel of it is here: the line cannot be installed",
                "let `fuxian package` put the wheel into wheels/, and write --find-links wheels above this line",
                file,
                number,
            )
    from_wheels = sorted(carried.keys() & named.keys())
    packages = counted(len(named), "package")
    if from_wheels:
        own = listed(from_wheels)
        return passed(f"{packages}, PaddlePaddle among them, {own} as a wheel of its own", file)
    return passed(f"{packages}, PaddlePaddle among them", file)


def _wheels(tree: SubmittedFiles, folder: str) -> dict[str, set[str]]:
    """The versions by package name of the wheels right in a folder of the submission."""
    place = PurePosixPath(folder).as_posix().strip("/")
    found: dict[str, set[str]] = {}
    for path in tree.named(".whl"):
        if PurePosixPath(path).parent.as_posix() == place:
            try:
                name, version, _, _ = parse_wheel_filename(PurePosixPath(path).name)
            except InvalidWheelFilename:
                continue
            found.setdefault(name, set()).add(str(version))
    return found


def licence(tree: SubmittedFiles) -> Result:
    """A LICENSE file with the text that the manifest names."""
    files = [path for path in sorted(tree.files) if re.fullmatch(r"(?i)licen[sc]e(\.txt|\.md)?", path)]
    if not files:
        return failed("there is no LICENSE", "add the text of the Apache License 2.0")
    text = tree.text(files[0])
    wanted = tree.manifest.licence
    if wanted == "Apache-2.0" and not ("Apache License" in text and "Version 2.0" in text):
        return failed(
            "this is not the Apache License 2.0",
            "put its text there, or name the licence as licence in fuxian.toml",
            files[0],
            1,
        )
    if len(text) < 200:
        return failed("this is no licence text", f"put the text of {wanted} there", files[0], 1)
    return passed(wanted, files[0])


def headers(tree: SubmittedFiles) -> Result:
    """A licence header in every file of code."""
    bare = []
    for path in tree.named(*CODE):
        text = tree.text(path)
        head = "\n".join(text.splitlines()[:HEADER_LINES])
        if text.strip() and not HEADER.search(head):
            bare.append(path)
    if bare:
        what = f"{counted(len(bare), 'file')} of code without a licence header: {listed(bare)}"
        return failed(what, "begin each with the Apache header", bare[0], 1)
    return passed("every file of code has a licence header")


def lite_data(tree: SubmittedFiles) -> Result:
    """A few examples of the data in the repository, for the short runs."""
    found = [path for path in tree.files if re.search(r"(^|/)lite_data(/|\.(zip|tar|tar\.gz|tgz)$)", path)]
    size = sum(tree.files[path] for path in found)
    if not size:
        return failed(
            "there is no lite_data", "add lite_data/ (or lite_data.tar) with 8 to 16 examples of each split"
        )
    if size > LARGEST_LITE_DATA:
        largest = max(found, key=lambda path: tree.files[path])
        return failed(
            f"lite_data has {size / 1e6:.0f} MB, more than 20", "keep 8 to 16 examples of each split", largest
        )
    return passed(f"{counted(len(found), 'file')}, {size / 1e3:.1f} kB")
