"""What `make test-vllm-suite` holds vLLM's own tests against says what the README says."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "kvref" / "compat" / "vllm" / "SUITE.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(test_\w+\.py)` \| (\d+) \| (\d+) \|$", PAGE, re.MULTILINE)
REASONS = re.findall(r"^\| `(test_\w+)` \| (.+) \|$", PAGE, re.MULTILINE)


def test_the_readme_tells_the_number_of_tests_that_pass() -> None:
    total = sum(int(passing) for _, passing, _ in ROWS)
    assert f"{total} of vLLM's own tests" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_two_files_are_in_completely() -> None:
    whole = {file: int(passing) for file, passing, out in ROWS if out == "0"}
    assert whole["test_prefix_caching.py"] + whole["test_single_type_kv_cache_manager.py"] == 83


def test_each_test_that_is_out_has_a_reason_of_its_own() -> None:
    assert len(REASONS) == len(dict(REASONS)) == len({reason for _, reason in REASONS})
