

aahegjeaiieeecf ü·³ºidjgedbfag"iggcjhe*
debdajhid(V2fidjj-ii0èºÔÃ