"""`genera verify`: a run, a cache, and what is damaged in them."""

import shutil

from commands import genera


def test_a_run_is_read_and_its_damage_named(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    good = genera("verify", str(run), "--json")
    assert good.code == 0
    assert good.json["checkpoints"] >= 1
    assert good.json["damaged"] == []
    weights = next(run.glob("checkpoints/*/weights.safetensors"))
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    bad = genera("verify", str(run))
    assert bad.code == 1
    assert f"{weights} is damaged (its checksum is not the one written)" in bad.out
    assert "1 of " in bad.err


def test_the_cache_is_read_and_its_damage_named(tmp_path, monkeypatch):
    monkeypatch.setenv("GENERA_CACHE", str(tmp_path / "cache"))
    none = genera("verify")
    assert (none.code, "there is no cache to verify" in none.err) == (1, True)
    from genera.data.cache import build_once

    folder = tmp_path / "cache" / "text-x"
    build_once(folder, lambda temporary: (temporary / "a.bin").write_bytes(b"tokens"))
    assert genera("verify").code == 0
    (folder / "a.bin").write_bytes(b"tokemz")
    bad = genera("verify")
    assert bad.code == 1
    assert "a.bin is damaged" in bad.out
    assert "rebuilt on next use" in bad.err
