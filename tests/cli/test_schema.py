import json

from coe.config.models import Config
from tests.cli.commands import Coe


def test_the_schema_is_json_on_stdout(coe: Coe) -> None:
    ended = coe("schema")
    assert (ended.code, ended.err) == (0, "")
    assert json.loads(ended.out) == Config.model_json_schema()
