"""What a driver has decoded from BSON, as facts of a page and as links to the document itself."""

import json
from collections.abc import Mapping
from typing import Any

import bson
from bson import json_util

from kato_exporter.browser.knowledge.document_paths import document_path
from kato_exporter.stores.mongodb.bson_elements import BsonValue, elements


def bson_facts(value: Any) -> Any:
    """Give texts, numbers, booleans, null, lists and objects as they are.

    Every other type is canonical extended JSON: an ObjectId is `{"$oid": "..."}`.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {name: bson_facts(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [bson_facts(entry) for entry in value]
    return json.loads(json_util.dumps(value, json_options=json_util.CANONICAL_JSON_OPTIONS))


def document_url(kb: str, collection: str, identity: Any) -> str | None:
    """Give the path of a document's page; None where its `_id` is too long for one."""
    return document_path(kb, collection, bson_value(identity))


def bson_value(value: Any) -> BsonValue:
    """Give a decoded value as BSON has it."""
    [(_, encoded)] = elements(bson.encode({"": value}))
    return encoded
